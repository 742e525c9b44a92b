//! What a request waits for before it buys: its turn, other processes, earlier purchases.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Inner;
use super::call::Call;
use super::pay;
use super::progress::{Progress, TRIES_FIRST};
use crate::book::TargetResource;
use crate::decide::Wait;
use crate::error::Error;
use crate::event::Event;

impl Inner {
    /// Waits for what has to come before the next decision.
    pub(super) async fn wait(
        self: &Arc<Self>,
        call: &mut Call,
        progress: &mut Progress,
        wait: Wait,
    ) -> Result<(), Error> {
        match wait {
            Wait::Turn => self.take_turn(call, progress).await,
            Wait::Others => {
                self.wait_for_others(call, progress).await?;
                self.look_again(call, progress).await
            }
            Wait::LookUp => {
                let bought = match progress.abandoned(self.now()).cloned() {
                    Some(purchase) => self.recover(call, purchase).await?,
                    None => None,
                };
                match bought {
                    Some(bought) => self.show_bought(call, progress, bought).await,
                    None => self.look_again(call, progress).await,
                }
            }
            Wait::Release => self.wait_for_use(call, progress).await,
            Wait::Settlement => {
                let Some(bought) = progress.bought.take() else {
                    return Ok(());
                };
                self.emit(&Event::Retrying {
                    payment_hash: bought.credential.payment_hash(),
                });
                tokio::time::sleep(self.policy.pauses.settlement).await;
                self.show_bought(call, progress, bought).await
            }
        }
    }

    /// Takes the turn to buy, after everything that can be refused without it, and looks up
    /// what earlier purchases from this seller left open.
    async fn take_turn(
        self: &Arc<Self>,
        call: &mut Call,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        if let Some(challenged) = &progress.challenged
            && let Err(refused) = self.check(call, challenged)
        {
            self.explain(call, progress).await;
            return Err(refused);
        }
        let key = progress.purchase_key();
        progress.turn = Some(self.flights.acquire(&progress.resource.origin, &key).await);
        progress.wallet = match &self.wallet {
            Some(wallet) => Some(wallet.facts().await?),
            None => None,
        };
        let recovered = self.look_up_near(&progress.resource).await?;
        self.look_again(call, progress).await?;
        if recovered {
            progress.tries.same_origin = TRIES_FIRST.same_origin;
        }
        Ok(())
    }

    /// Waits a little for another process that buys the same thing, but not for ever.
    async fn wait_for_others(&self, call: &Call, progress: &mut Progress) -> Result<(), Error> {
        let TargetResource { origin, path, .. } = &progress.resource;
        let since = match progress.waiting_since {
            Some(since) => since,
            None => {
                let (origin, path) = (origin.clone(), path.clone());
                self.emit(&Event::Waiting { origin, path });
                *progress.waiting_since.insert(Instant::now())
            }
        };
        let patience = self.policy.pay_timeout.saturating_add(OTHERS_MARGIN);
        if since.elapsed() > patience {
            return Err(self.still_busy(call, progress));
        }
        tokio::time::sleep(progress.next_pause()).await;
        Ok(())
    }

    /// Waits for a use of the credential that was presented last, as long as the server asks to,
    /// and begins again.
    async fn wait_for_use(&self, call: &Call, progress: &mut Progress) -> Result<(), Error> {
        if let (Some(payment_hash), None) = (progress.shown, progress.in_use_since) {
            self.emit(&Event::InUse { payment_hash });
        }
        progress.in_use_since.get_or_insert_with(Instant::now);
        let pause = progress.pause_for_use();
        tokio::time::sleep(pause).await;
        progress.begin_again();
        self.look_again(call, progress).await
    }

    fn still_busy(&self, call: &Call, progress: &Progress) -> Error {
        let busy = Error::Busy {
            origin: progress.resource.origin.clone(),
            path: progress.resource.path.clone(),
        };
        match progress.working() {
            Some(purchase) => pay::unknown(purchase, busy.to_string(), None),
            None => call.failed(busy),
        }
    }

    /// Reads the book again: others may have changed it.
    pub(super) async fn look_again(
        &self,
        call: &Call,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        progress.view = self.view(call, &progress.resource).await?;
        progress.tries.same_path = TRIES_FIRST.same_path;
        Ok(())
    }
}

/// How much longer than a payment another process may take to present what it bought.
const OTHERS_MARGIN: Duration = Duration::from_secs(90);
