//! Any history of purchases: none spends more than allowed, pays twice or loses a paid token.
//!
//! The bytes are a history: purchases are begun, recorded, paid, looked up, offered again and
//! crashed over. The wallet really moves money when it is called to pay, pays one hash at most
//! once, and reports correctly; everything else may lie or come at the wrong moment. After every
//! step the sums are compared.
//!
//! One lie is left out: that no money moved when it did. Only the wallet can know.

mod history;
mod offers;

use std::collections::{BTreeMap, BTreeSet};

use l402::{
    Budget, Charged, Limits, Msat, Payable, PaymentHash, PurchaseAction, PurchaseEvent,
    PurchaseState, UnixSeconds, step,
};

use self::history::{Step, limits};
use self::offers::{HOSTS, PAYMENTS, QUOTES, hash_of, preimage, preimage_of};

/// Plays the history and compares the sums after every step.
pub fn run(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut world = World::new(limits(&mut bytes));
    while let Some(step) = Step::next(&mut bytes) {
        world.take(&step);
        world.compare_sums();
    }
    world.find_out_everything();
    world.compare_sums();
    world.check_that_nothing_is_lost();
}

/// The wallet's own record of a payment it was called to make.
#[derive(Clone, Debug)]
enum Payment {
    Open { fee_max: Msat },
    Failed,
    Settled { fee: Msat },
}

/// A purchase as a buyer stores it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Purchase {
    payable: Payable,
    fee_max: Msat,
    begun_at: UnixSeconds,
    state: PurchaseState,
}

impl Purchase {
    fn charge(&self) -> Msat {
        self.state.charge(self.payable.price(), self.fee_max)
    }
}

struct World {
    limits: Limits,
    now: UnixSeconds,
    /// What the running process holds.
    memory: BTreeMap<PaymentHash, Purchase>,
    /// What a crash leaves.
    disk: BTreeMap<PaymentHash, Purchase>,
    wallet: BTreeMap<PaymentHash, Payment>,
    kept: BTreeSet<PaymentHash>,
}

impl World {
    const fn new(limits: Limits) -> Self {
        Self {
            limits,
            now: UnixSeconds::new(1_700_000_000),
            memory: BTreeMap::new(),
            disk: BTreeMap::new(),
            wallet: BTreeMap::new(),
            kept: BTreeSet::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Begin { offer, host } => self.begin(offer, host),
            Step::Record { payment } => self.report(&hash_of(payment), PurchaseEvent::Recorded),
            Step::RecordAndCrash { payment } => self.record_and_crash(&hash_of(payment)),
            Step::Abandon { payment } => {
                if self.is_reserved(&hash_of(payment)) {
                    self.report(&hash_of(payment), PurchaseEvent::Failed);
                }
            }
            Step::WalletSettles { payment, fee } => self.settle(&hash_of(payment), fee),
            Step::WalletFails { payment } => self.fail(&hash_of(payment)),
            Step::LookUp { payment } => self.look_up(&hash_of(payment)),
            Step::Lose { payment } => self.report(&hash_of(payment), PurchaseEvent::Unknown),
            Step::WrongPreimage { payment } => {
                let event = PurchaseEvent::Settled {
                    preimage: preimage(payment.wrapping_add(1)),
                    fee: Msat::ZERO,
                };
                self.report(&hash_of(payment), event);
            }
            Step::OutOfPlace { payment, event } => self.report_out_of_place(payment, event),
            Step::Crash => self.memory = self.disk.clone(),
            Step::Reoffer { payment } => self.report(&hash_of(payment), PurchaseEvent::Reoffered),
            Step::Clock { hours } => self.set_clock(hours),
        }
    }

    fn begin(&mut self, offer: u8, host: u8) {
        let quote = &QUOTES[usize::from(offer) % QUOTES.len()];
        let host = HOSTS[usize::from(host) % HOSTS.len()];
        let hash = quote.payment_hash();
        let before = self.memory.get(&hash);
        let before = before.map_or(PurchaseState::Offered, |known| known.state.clone());
        let Ok((state, action)) = step(&hash, &before, PurchaseEvent::Admitted) else {
            return;
        };
        assert_eq!(action, PurchaseAction::Record);
        let charged = self.charged(host);
        let Ok(reserved) = Budget::new(&self.limits, charged).admit(host, quote.price()) else {
            return;
        };
        let purchase = Purchase {
            payable: quote.payable(host),
            fee_max: self.limits.fee_max,
            begun_at: self.now,
            state,
        };
        assert_eq!(purchase.charge(), reserved);
        self.memory.insert(hash, purchase);
    }

    fn charged(&self, host: &str) -> Charged {
        let sum = |wanted: &dyn Fn(&Purchase) -> bool| {
            let known = self.memory.values().filter(|purchase| wanted(purchase));
            let sum = known.map(|purchase| purchase.charge().as_msat()).sum();
            Msat::from_msat(sum)
        };
        Charged {
            host: sum(&|purchase| purchase.payable.host() == host),
            today: sum(&|purchase| purchase.begun_at.utc_day() >= self.now.utc_day()),
            total: sum(&|_purchase| true),
        }
    }

    fn record_and_crash(&mut self, hash: &PaymentHash) {
        if self.is_reserved(hash) {
            let known = self.memory.get_mut(hash).expect("it is reserved");
            known.state = PurchaseState::Paying;
            self.wallet.remove(hash);
            self.disk.insert(*hash, known.clone());
        }
        self.memory = self.disk.clone();
    }

    fn settle(&mut self, hash: &PaymentHash, fee: u8) {
        if let Some(Payment::Open { fee_max }) = self.wallet.get(hash) {
            let fee = fee_max.as_msat() * u64::from(fee) / 255;
            let fee = Msat::from_msat(fee);
            self.wallet.insert(*hash, Payment::Settled { fee });
        }
    }

    fn fail(&mut self, hash: &PaymentHash) {
        if let Some(Payment::Open { .. }) = self.wallet.get(hash) {
            self.wallet.insert(*hash, Payment::Failed);
        }
    }

    /// Reports the wallet's record. A payment that is not in it will not be made any more.
    fn look_up(&mut self, hash: &PaymentHash) {
        if !self.disk.contains_key(hash) || self.is_reserved(hash) {
            return;
        }
        let event = match self.wallet.get(hash) {
            None | Some(Payment::Failed) => PurchaseEvent::Failed,
            Some(Payment::Open { .. }) => PurchaseEvent::Unknown,
            Some(Payment::Settled { fee }) => PurchaseEvent::Settled {
                preimage: preimage_of(hash),
                fee: *fee,
            },
        };
        self.report(hash, event);
    }

    fn report_out_of_place(&mut self, payment: u8, event: u8) {
        let hash = hash_of(payment);
        match event % 3 {
            // While it is reserved this would be true.
            0 if !self.is_reserved(&hash) => self.report(&hash, PurchaseEvent::Recorded),
            // While it is reserved the wallet has not been asked.
            1 if self.is_reserved(&hash) => self.report(&hash, PurchaseEvent::Unknown),
            _ => {}
        }
    }

    /// Takes a step and carries out its action. An error must change nothing.
    fn report(&mut self, hash: &PaymentHash, event: PurchaseEvent) {
        let Some(known) = self.memory.get_mut(hash) else {
            return;
        };
        let is_first = known.state == PurchaseState::Reserved;
        let Ok((state, action)) = step(hash, &known.state, event) else {
            return;
        };
        known.state = state;
        let known = known.clone();
        match action {
            PurchaseAction::Pay => {
                self.disk.insert(*hash, known.clone());
                self.pay(&known, is_first);
            }
            PurchaseAction::Keep => {
                assert!(matches!(known.state, PurchaseState::Paid { .. }));
                self.disk.insert(*hash, known);
                self.kept.insert(*hash);
            }
            PurchaseAction::Release => self.release(hash, known),
            PurchaseAction::LookUp => {
                assert_eq!(known.state, PurchaseState::Unknown);
                self.disk.insert(*hash, known);
            }
            PurchaseAction::Nothing => {}
            PurchaseAction::Record => panic!("only admission asks for a record"),
        }
    }

    fn release(&mut self, hash: &PaymentHash, known: Purchase) {
        assert_eq!(known.charge(), Msat::ZERO);
        match (known.state == PurchaseState::Offered, self.disk.get(hash)) {
            (false, _) => {
                self.disk.insert(*hash, known);
            }
            // What was not recorded is as it was before.
            (true, Some(before)) => {
                self.memory.insert(*hash, before.clone());
            }
            (true, None) => {
                self.memory.remove(hash);
            }
        }
    }

    /// The wallet pays as it is called to, but one hash at most once.
    fn pay(&mut self, purchase: &Purchase, is_first: bool) {
        let hash = purchase.payable.payment_hash();
        let recorded = self.disk.get(&hash).expect("paid before it was recorded");
        assert_eq!(recorded, purchase);
        assert!(purchase.payable.price() <= self.limits.price_max);
        assert!(purchase.fee_max <= self.limits.fee_max);
        if self.money_may_move(&hash) {
            assert!(!is_first, "paid twice");
            return;
        }
        let fee_max = purchase.fee_max;
        self.wallet.insert(hash, Payment::Open { fee_max });
    }

    fn set_clock(&mut self, hours: u8) {
        let secs = u64::from(hours) * 3_600;
        self.now = match hours {
            250.. => UnixSeconds::new(1_700_000_000),
            _ => self.now.plus_secs(secs),
        };
    }

    /// No sum that money moved to, or still may, passes its limit, and none is more than what
    /// the buyer counts.
    fn compare_sums(&self) {
        let mut total = 0;
        let mut by_day: BTreeMap<u64, u64> = BTreeMap::new();
        let mut by_host: BTreeMap<&str, u64> = BTreeMap::new();
        for (hash, purchase) in &self.disk {
            let amount = self.at_risk(hash, purchase);
            total += amount;
            *by_day.entry(purchase.begun_at.utc_day()).or_default() += amount;
            *by_host.entry(purchase.payable.host()).or_default() += amount;
        }
        let within =
            |limit: Option<Msat>, sum: u64| limit.is_none_or(|limit| sum <= limit.as_msat());
        assert!(within(self.limits.total, total), "{total} in all");
        for (day, sum) in by_day {
            assert!(within(self.limits.per_day, sum), "{sum} on day {day}");
        }
        for (host, sum) in by_host {
            assert!(within(self.limits.per_host, sum), "{sum} for {host}");
        }
        let counted = self.charged("").total.as_msat();
        assert!(total <= counted, "money moved that is not counted");
    }

    /// What the wallet has spent on a purchase, or may yet.
    fn at_risk(&self, hash: &PaymentHash, purchase: &Purchase) -> u64 {
        let beyond_price = match self.wallet.get(hash) {
            None | Some(Payment::Failed) => return 0,
            Some(Payment::Open { fee_max }) => *fee_max,
            Some(Payment::Settled { fee }) => *fee,
        };
        purchase.payable.price().as_msat() + beyond_price.as_msat()
    }

    /// The end of every history: nothing is open any more, and everything is known.
    fn find_out_everything(&mut self) {
        for payment in 0..PAYMENTS {
            let hash = hash_of(payment);
            if self.is_reserved(&hash) {
                self.report(&hash, PurchaseEvent::Failed);
            }
            self.settle(&hash, payment.wrapping_mul(64));
            self.look_up(&hash);
        }
    }

    fn check_that_nothing_is_lost(&self) {
        let spent: u64 = self
            .disk
            .iter()
            .map(|(hash, purchase)| self.at_risk(hash, purchase))
            .sum();
        assert_eq!(
            self.charged("").total.as_msat(),
            spent,
            "all is known, yet something is still reserved"
        );
        for (hash, payment) in &self.wallet {
            let is_settled = matches!(payment, Payment::Settled { .. });
            let is_paid = matches!(self.memory[hash].state, PurchaseState::Paid { .. });
            assert_eq!(is_paid, is_settled, "a paid token was lost");
            assert_eq!(self.kept.contains(hash), is_settled);
        }
    }

    fn is_reserved(&self, hash: &PaymentHash) -> bool {
        let known = self.memory.get(hash);
        known.is_some_and(|known| known.state == PurchaseState::Reserved)
    }

    fn money_may_move(&self, hash: &PaymentHash) -> bool {
        matches!(
            self.wallet.get(hash),
            Some(Payment::Open { .. } | Payment::Settled { .. })
        )
    }
}
