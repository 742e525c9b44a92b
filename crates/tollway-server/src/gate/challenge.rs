//! Challenges: what an unpaid request is offered.
//!
//! Each costs an invoice, so the order is: the challenge limit of the network, room for one more
//! invoice, the price, the wallet, the token.

use http::HeaderValue;
use l402::{Challenge, Invoice, Msat, Services, UnixSeconds};
use tollway_lightning::InvoiceTerms;

use super::Gate;
use super::settings::NO_CLOCK;
use crate::pricer::Pricer;
use crate::reason::Reason;
use crate::rejection::{Outage, PaymentRequired, Rejection};
use crate::request::RequestInfo;
use crate::requirement::Requirement;
use crate::terms::Terms;

impl Gate {
    /// Asks for payment because of `reason`, or returns why that is not possible.
    ///
    /// Nothing is kept of a challenge, so giving out any number of them costs no memory.
    pub async fn challenge(
        &self,
        requirement: &Requirement,
        pricer: &dyn Pricer,
        info: &RequestInfo<'_>,
        reason: Reason,
    ) -> Rejection {
        match self.quote(requirement, pricer, info).await {
            Ok((price, challenge)) => Rejection::PaymentRequired(Box::new(PaymentRequired {
                reason,
                service: requirement.service().clone(),
                price,
                challenge,
            })),
            Err(rejection) => rejection,
        }
    }

    async fn quote(
        &self,
        requirement: &Requirement,
        pricer: &dyn Pricer,
        info: &RequestInfo<'_>,
    ) -> Result<(Msat, Vec<HeaderValue>), Rejection> {
        let services = requirement.services(info.path)?;
        let now = (self.settings.clock)();
        self.limiter.take(info.peer.network(), now)?;
        self.check_sellable(now)?;
        let _room = self.invoices.try_acquire().map_err(|_none_left| {
            let in_flight_max = self.settings.invoices_in_flight_max;
            Outage::WalletBusy { in_flight_max }
        })?;
        let terms = self.terms(pricer, info).await?;
        if terms.uses_max().is_some() && !self.stores.uses.is_working() {
            return Err(Outage::UsesFail.into());
        }
        let invoice = self.invoice(requirement, &terms).await?;
        let challenge = self.mint(requirement, &services, &terms, &invoice)?;
        Ok((terms.price(), challenge))
    }

    /// Refuses to sell a token that would be good for nothing.
    fn check_sellable(&self, now: UnixSeconds) -> Result<(), Outage> {
        if now == NO_CLOCK {
            return Err(Outage::Clock);
        }
        match self.revocations.load().minted_before() {
            Some(revoked_before) if now < revoked_before => Err(Outage::AlreadyRevoked {
                now,
                revoked_before,
            }),
            Some(_) | None => Ok(()),
        }
    }

    async fn terms(&self, pricer: &dyn Pricer, info: &RequestInfo<'_>) -> Result<Terms, Outage> {
        let timeout = self.settings.pricer_timeout;
        let terms = tokio::time::timeout(timeout, pricer.terms(info))
            .await
            .map_err(|_elapsed| Outage::PricerSlow {
                timeout_ms: timeout.as_millis(),
            })??;
        Ok(terms)
    }

    async fn invoice(&self, requirement: &Requirement, terms: &Terms) -> Result<Invoice, Outage> {
        let settings = &self.settings;
        let memo = terms.memo().unwrap_or(requirement.service().as_str());
        let wanted = InvoiceTerms {
            amount: terms.price(),
            memo: memo.to_owned(),
            expiry_secs: terms.invoice_expiry_secs().get(),
        };
        let invoice = tokio::time::timeout(settings.invoice_timeout, self.invoicer.invoice(wanted))
            .await
            .map_err(|_elapsed| Outage::WalletSlow {
                timeout_ms: settings.invoice_timeout.as_millis(),
            })??;
        if invoice.amount() != Some(terms.price()) {
            return Err(Outage::WrongInvoice {
                asked: terms.price(),
                got: invoice.amount(),
            });
        }
        Ok(invoice)
    }

    fn mint(
        &self,
        requirement: &Requirement,
        services: &Services,
        terms: &Terms,
        invoice: &Invoice,
    ) -> Result<Vec<HeaderValue>, Outage> {
        let now = (self.settings.clock)();
        // Something may have been revoked while the wallet made the invoice.
        self.check_sellable(now)?;
        let caveats = terms.token_caveats(requirement, now)?;
        let entropy = (self.settings.entropy)()?;
        Challenge::issue(&self.keys.ring(), invoice, services, &caveats, now, entropy)?
            .header_values(self.settings.lsat)
            .into_iter()
            .map(|line| {
                let mut value = HeaderValue::try_from(line)?;
                value.set_sensitive(true);
                Ok(value)
            })
            .collect()
    }
}
