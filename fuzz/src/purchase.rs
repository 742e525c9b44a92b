//! Does any history of purchases spend more than allowed, pay twice or lose a paid token?
//!
//! The bytes are a history: quotes are begun, recorded, paid, answered, crashed over. The
//! wallet really moves money when it is told to pay, and says the truth about it; everybody
//! else may lie or come at the wrong moment. After every step the books are compared.
//!
//! One lie is left out: that no money moved when it did. Only the wallet can know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use l402::{
    Challenge, Identifier, LegacyLsat, Limits, Macaroon, Msat, Network, PaymentHash, Preimage,
    PurchaseAction, PurchaseError, PurchaseEvent, PurchaseState, Purchases, Quote, RootKey,
    SchemeName, Token, TokenId, UnixSeconds, read_challenges,
};
use lightning_invoice::Currency;

/// Plays the history and compares the books after every step.
pub fn run(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut world = World::new(limits(&mut bytes));
    while let Some(step) = Step::next(&mut bytes) {
        world.take(&step);
        world.compare_books();
    }
    world.find_out_everything();
    world.compare_books();
    world.check_that_nothing_is_lost();
}

/// Payments, and the offers for each: a seller may ask two prices for one payment.
const PAYMENTS: u8 = 4;
const PRICES: [u64; 8] = [1_000, 4_000, 9_999, 20_000, 2_000, 50_000, 1, 9_000];
const HOSTS: [&str; 3] = ["a.example", "b.example", "c.example"];

static QUOTES: LazyLock<Vec<Quote>> = LazyLock::new(|| {
    let pairs = PRICES.iter().zip(0..);
    pairs.map(|(price, offer)| quote(offer, *price)).collect()
});

fn preimage(payment: u8) -> Preimage {
    Preimage::new([payment % PAYMENTS + 1; 32])
}

fn quote(offer: u8, price: u64) -> Quote {
    let preimage = preimage(offer);
    let text = super::invoice::invoice(Currency::Regtest, Some(price), preimage.expose());
    let identifier = Identifier {
        payment_hash: preimage.payment_hash(),
        token_id: TokenId::new([offer; 32]),
    };
    let token = Macaroon::mint(&RootKey::new([5; 32]), "lsat", &identifier.to_bytes());
    let challenge = Challenge {
        name: SchemeName::L402,
        token: Token::from(&token.expect("it fits")),
        invoice: text,
    };
    let sent = challenge.header_values(LegacyLsat::Omit);
    let challenges = read_challenges(sent.iter().map(String::as_bytes)).expect("as written");
    let created = UnixSeconds::new(1_700_000_000);
    Quote::read(&challenges[0], Network::Regtest, created).expect("a good offer")
}

fn limits(bytes: &mut impl Iterator<Item = u8>) -> Limits {
    let mut choose = |from: [u64; 4]| from[usize::from(bytes.next().unwrap_or(0) % 4)];
    let limit = |msat| (msat != 0).then_some(Msat::from_msat(msat));
    Limits {
        price_max: Msat::from_msat(choose([u64::MAX, 9_999, 20_000, 1_000])),
        fee_max: Msat::from_msat(choose([0, 500, 3_000, 1])),
        per_host: limit(choose([0, 12_000, 30_000, 1_000])),
        per_day: limit(choose([0, 10_000, 23_000, 60_000])),
        total: limit(choose([0, 30_000, 70_000, 11_000])),
    }
}

/// One thing that happens.
#[derive(Debug)]
enum Step {
    Begin {
        offer: u8,
        host: u8,
    },
    /// The record reaches the disk and the machine is told.
    Record {
        payment: u8,
    },
    /// The record reaches the disk and the process dies before the machine is told.
    RecordAndCrash {
        payment: u8,
    },
    Abandon {
        payment: u8,
    },
    WalletSettles {
        payment: u8,
        fee: u8,
    },
    WalletFails {
        payment: u8,
    },
    /// The wallet is asked, and answers.
    LookUp {
        payment: u8,
    },
    Lose {
        payment: u8,
    },
    WrongPreimage {
        payment: u8,
    },
    /// An event that may not fit: a second `Recorded`, a late `Abandoned`, a stranger's hash.
    OutOfPlace {
        payment: u8,
        event: u8,
    },
    Crash,
    /// The clock goes on, or is set back.
    Clock {
        hours: u8,
    },
}

impl Step {
    fn next(bytes: &mut impl Iterator<Item = u8>) -> Option<Self> {
        let kind = bytes.next()?;
        let mut byte = || bytes.next().unwrap_or(0);
        Some(match kind % 12 {
            0 => Self::Begin {
                offer: byte(),
                host: byte(),
            },
            1 => Self::Record { payment: byte() },
            2 => Self::RecordAndCrash { payment: byte() },
            3 => Self::Abandon { payment: byte() },
            4 => Self::WalletSettles {
                payment: byte(),
                fee: byte(),
            },
            5 => Self::WalletFails { payment: byte() },
            6 => Self::LookUp { payment: byte() },
            7 => Self::Lose { payment: byte() },
            8 => Self::WrongPreimage { payment: byte() },
            9 => Self::OutOfPlace {
                payment: byte(),
                event: byte(),
            },
            10 => Self::Crash,
            _ => Self::Clock { hours: byte() },
        })
    }
}

/// What the wallet knows about a payment it was told to make.
#[derive(Clone, Debug)]
enum Payment {
    Open { fee_max: Msat },
    Failed,
    Settled { fee: Msat },
}

/// What is on disk about a purchase.
#[derive(Clone, Debug)]
struct Record {
    quote: Quote,
    host: String,
    fee_max: Msat,
    begun_at: UnixSeconds,
    failed: bool,
}

struct World {
    limits: Limits,
    now: UnixSeconds,
    machine: Purchases,
    disk: BTreeMap<PaymentHash, Record>,
    wallet: BTreeMap<PaymentHash, Payment>,
    kept: BTreeSet<PaymentHash>,
}

impl World {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            now: UnixSeconds::new(1_700_000_000),
            machine: Purchases::new(limits),
            disk: BTreeMap::new(),
            wallet: BTreeMap::new(),
            kept: BTreeSet::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Begin { offer, host } => self.begin(offer, host),
            Step::Record { payment } => self.record(&hash_of(payment)),
            Step::RecordAndCrash { payment } => {
                self.write_to_disk(&hash_of(payment));
                self.crash();
            }
            Step::Abandon { payment } => {
                if self.is_reserved(&hash_of(payment)) {
                    self.tell(&hash_of(payment), PurchaseEvent::Abandoned);
                }
            }
            Step::WalletSettles { payment, fee } => self.settle(&hash_of(payment), fee),
            Step::WalletFails { payment } => self.fail(&hash_of(payment)),
            Step::LookUp { payment } => self.look_up(&hash_of(payment)),
            Step::Lose { payment } => self.tell(&hash_of(payment), PurchaseEvent::Lost),
            Step::WrongPreimage { payment } => {
                let event = PurchaseEvent::Settled {
                    preimage: preimage(payment.wrapping_add(1)),
                    fee: Msat::ZERO,
                };
                self.tell(&hash_of(payment), event);
            }
            Step::OutOfPlace { payment, event } => self.tell_out_of_place(payment, event),
            Step::Crash => self.crash(),
            Step::Clock { hours } => self.set_clock(hours),
        }
    }

    fn begin(&mut self, offer: u8, host: u8) {
        let quote = QUOTES[usize::from(offer) % QUOTES.len()].clone();
        let hash = quote.payment_hash();
        let host = HOSTS[usize::from(host) % HOSTS.len()];
        let used = self.machine.budget().used();
        match self.machine.begin(quote, host, self.now) {
            Ok(action) => {
                assert!(matches!(action, PurchaseAction::Record(_)), "{action:?}");
                assert!(self.is_reserved(&hash));
            }
            Err(_) => assert_eq!(self.machine.budget().used(), used, "refused, yet set aside"),
        }
    }

    /// Only what the machine has set aside is written.
    fn write_to_disk(&mut self, hash: &PaymentHash) -> bool {
        if !self.is_reserved(hash) {
            return false;
        }
        let purchase = self.machine.get(hash).expect("it is reserved");
        let record = Record {
            quote: purchase.quote().clone(),
            host: purchase.host().to_owned(),
            fee_max: purchase.fee_max(),
            begun_at: purchase.begun_at(),
            failed: false,
        };
        // A failed payment that is begun again is a new payment to the wallet.
        assert!(!self.money_may_move(hash), "recorded over a live payment");
        self.wallet.remove(hash);
        self.disk.insert(*hash, record);
        true
    }

    fn record(&mut self, hash: &PaymentHash) {
        if self.write_to_disk(hash) {
            self.tell(hash, PurchaseEvent::Recorded);
        }
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

    /// Tells the machine what the wallet says, which is the truth. A payment that the wallet
    /// never heard of will not be made any more.
    fn look_up(&mut self, hash: &PaymentHash) {
        if !self.disk.contains_key(hash) {
            return;
        }
        let event = match self.wallet.get(hash) {
            None | Some(Payment::Failed) => PurchaseEvent::Failed,
            Some(Payment::Open { .. }) => PurchaseEvent::Lost,
            Some(Payment::Settled { fee }) => PurchaseEvent::Settled {
                preimage: preimage_of(hash),
                fee: *fee,
            },
        };
        self.tell(hash, event);
    }

    fn tell_out_of_place(&mut self, payment: u8, event: u8) {
        let hash = hash_of(payment);
        let stranger = PaymentHash::new([0xee; 32]);
        match event % 4 {
            0 => {
                let unknown = self.machine.on(&stranger, PurchaseEvent::Recorded);
                assert!(matches!(unknown, Err(PurchaseError::Unknown { .. })));
            }
            // While it is reserved these two would be true.
            1 if !self.is_reserved(&hash) => self.tell(&hash, PurchaseEvent::Recorded),
            2 if !self.is_reserved(&hash) => self.tell(&hash, PurchaseEvent::Abandoned),
            // Before it is recorded the wallet cannot have failed it.
            _ if self.is_reserved(&hash) => self.tell(&hash, PurchaseEvent::Failed),
            _ => {}
        }
    }

    /// Tells the machine and does what it asks for. An error must change nothing.
    fn tell(&mut self, hash: &PaymentHash, event: PurchaseEvent) {
        let before = (
            self.machine.budget().used(),
            self.machine.get(hash).cloned(),
        );
        match self.machine.on(hash, event) {
            Ok(action) => self.act(hash, action),
            Err(_) => {
                let after = (
                    self.machine.budget().used(),
                    self.machine.get(hash).cloned(),
                );
                assert_eq!(before, after, "an error changed something");
            }
        }
    }

    fn act(&mut self, hash: &PaymentHash, action: PurchaseAction) {
        match action {
            PurchaseAction::Pay { quote, fee_max } => self.pay(&quote, fee_max),
            PurchaseAction::Keep(credential) => {
                assert!(credential.preimage().matches(hash));
                self.kept.insert(*hash);
            }
            PurchaseAction::LookUp(asked) => assert_eq!(asked, *hash),
            PurchaseAction::Nothing => {
                let state = self
                    .machine
                    .get(hash)
                    .map(|purchase| purchase.state().clone());
                if let (Some(record), Some(PurchaseState::Failed)) =
                    (self.disk.get_mut(hash), state)
                {
                    record.failed = true;
                }
            }
            PurchaseAction::Record(_) => panic!("only begin asks for a record"),
        }
    }

    /// The wallet does as it is told, whether or not that is wise.
    fn pay(&mut self, quote: &Quote, fee_max: Msat) {
        let hash = quote.payment_hash();
        let record = self.disk.get(&hash).expect("paid before it was recorded");
        assert_eq!(&record.quote, quote);
        assert!(!self.money_may_move(&hash), "paid twice");
        assert!(quote.price() <= self.limits.price_max);
        assert!(fee_max <= self.limits.fee_max);
        self.wallet.insert(hash, Payment::Open { fee_max });
    }

    /// Everything in memory is gone; the disk and the wallet are not.
    fn crash(&mut self) {
        self.machine = Purchases::new(self.limits);
        let records: Vec<Record> = self.disk.values().cloned().collect();
        for record in records.into_iter().filter(|record| !record.failed) {
            let hash = record.quote.payment_hash();
            let action =
                self.machine
                    .restore(record.quote, &record.host, record.fee_max, record.begun_at);
            assert_eq!(action, PurchaseAction::LookUp(hash));
            if self.kept.contains(&hash) {
                self.look_up(&hash);
            }
        }
    }

    fn set_clock(&mut self, hours: u8) {
        let secs = u64::from(hours) * 3_600;
        self.now = match hours {
            250.. => UnixSeconds::new(1_700_000_000),
            _ => self.now.plus_secs(secs),
        };
    }

    /// No sum that money moved to, or still may, passes its limit; and what the machine has
    /// set aside is exactly what its purchases account for.
    fn compare_books(&self) {
        let mut total = 0;
        let mut by_day: BTreeMap<u64, u64> = BTreeMap::new();
        let mut by_host: BTreeMap<&str, u64> = BTreeMap::new();
        for (hash, record) in &self.disk {
            let amount = self.at_risk(hash, record);
            total += amount;
            *by_day.entry(record.begun_at.utc_day()).or_default() += amount;
            *by_host.entry(&record.host).or_default() += amount;
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
        let accounted: u64 = self.machine.iter().map(set_aside_or_spent).sum();
        assert_eq!(self.machine.budget().used().as_msat(), accounted);
        assert!(total <= accounted, "money moved that nobody counts");
    }

    /// What the wallet has spent on a purchase, or may yet.
    fn at_risk(&self, hash: &PaymentHash, record: &Record) -> u64 {
        let beyond_price = match self.wallet.get(hash) {
            None | Some(Payment::Failed) => return 0,
            Some(Payment::Open { fee_max }) => *fee_max,
            Some(Payment::Settled { fee }) => *fee,
        };
        record.quote.price().as_msat() + beyond_price.as_msat()
    }

    /// The end of every story: nothing is open any more, and everybody has heard.
    fn find_out_everything(&mut self) {
        for payment in 0..PAYMENTS {
            let hash = hash_of(payment);
            if self.is_reserved(&hash) {
                self.tell(&hash, PurchaseEvent::Abandoned);
            }
            self.settle(&hash, payment.wrapping_mul(64));
            self.look_up(&hash);
        }
    }

    fn check_that_nothing_is_lost(&self) {
        let spent: u64 = self
            .disk
            .iter()
            .map(|(hash, record)| self.at_risk(hash, record))
            .sum();
        assert_eq!(
            self.machine.budget().used().as_msat(),
            spent,
            "all is known, yet something is still set aside"
        );
        for (hash, payment) in &self.wallet {
            let settled = matches!(payment, Payment::Settled { .. });
            let credential = self.machine.get(hash).and_then(l402::Purchase::credential);
            assert_eq!(credential.is_some(), settled, "a paid token was lost");
            assert_eq!(self.kept.contains(hash), settled);
        }
    }

    fn is_reserved(&self, hash: &PaymentHash) -> bool {
        let state = self.machine.get(hash).map(l402::Purchase::state);
        state == Some(&PurchaseState::Reserved)
    }

    fn money_may_move(&self, hash: &PaymentHash) -> bool {
        matches!(
            self.wallet.get(hash),
            Some(Payment::Open { .. } | Payment::Settled { .. })
        )
    }
}

fn set_aside_or_spent(purchase: &l402::Purchase) -> u64 {
    let beyond_price = match purchase.state() {
        PurchaseState::Reserved | PurchaseState::Paying | PurchaseState::InDoubt => {
            purchase.fee_max()
        }
        PurchaseState::Paid { fee, .. } => *fee,
        PurchaseState::Failed => return 0,
    };
    purchase.quote().price().as_msat() + beyond_price.as_msat()
}

fn hash_of(payment: u8) -> PaymentHash {
    preimage(payment).payment_hash()
}

fn preimage_of(hash: &PaymentHash) -> Preimage {
    (0..PAYMENTS)
        .map(preimage)
        .find(|preimage| preimage.matches(hash))
        .expect("one of ours")
}
