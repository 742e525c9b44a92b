//! One request and the head of its response.

use http::Response;
use hyper::body::Incoming;

use super::Inner;
use super::answer::Answer;
use super::call::Call;
use crate::book::StoredCredential;
use crate::error::TransportError;
use crate::event::{Event, Presented};

impl Inner {
    /// Sends the request once, and reads whether the server asks to be paid.
    pub(super) async fn attempt(
        &self,
        call: &mut Call,
        shown: Option<(&StoredCredential, Presented)>,
    ) -> Result<Answer, TransportError> {
        let response = self.exchange(call, shown).await?;
        let answer = Answer::read(response).await;
        if let Answer::Challenged(challenged) = &answer {
            self.emit(&Event::Challenged {
                status: challenged.status,
                challenges: challenged.challenges.as_ref().map_or(0, Vec::len),
            });
        }
        Ok(answer)
    }

    /// Sends the request, and once more where the server has not processed it.
    pub(super) async fn exchange(
        &self,
        call: &mut Call,
        shown: Option<(&StoredCredential, Presented)>,
    ) -> Result<Response<Incoming>, TransportError> {
        let sent = match self.exchange_once(call, shown).await {
            Err(error) if self.may_send_again(call, &error) => {
                self.exchange_once(call, shown).await
            }
            sent => sent,
        };
        let response = sent?;
        self.emit(&Event::Responded {
            status: response.status(),
        });
        Ok(response)
    }

    async fn exchange_once(
        &self,
        call: &mut Call,
        shown: Option<(&StoredCredential, Presented)>,
    ) -> Result<Response<Incoming>, TransportError> {
        if let Some((credential, _)) = shown {
            let hash = credential.payment_hash().to_string();
            tracing::info!("the token {hash:.8} is for {}", terms(credential));
        }
        let credential = shown.map(|(credential, _)| credential.authorization());
        let request = call.outgoing(credential).await?;
        self.emit(&Event::Sending {
            origin: call.origin().clone(),
            path: call.path().to_owned(),
            presented: shown.map_or(Presented::Nothing, |(_, presented)| presented),
            uses_max: shown.and_then(|(credential, _)| credential.uses_max()),
        });
        self.transport.send(call.origin(), request).await
    }

    fn may_send_again(&self, call: &Call, error: &TransportError) -> bool {
        call.is_replayable() && self.transport.may_send_again(error, call.method())
    }
}

/// Returns what a token is for, as its caveats state it.
fn terms(credential: &StoredCredential) -> String {
    let Some(token) = credential.token.macaroon() else {
        return "what only its seller can read".to_owned();
    };
    let caveats = token.unverified_caveats();
    let texts = caveats.filter_map(|caveat| std::str::from_utf8(caveat.id()).ok());
    let terms: Vec<String> = texts.map(|text| text.escape_debug().to_string()).collect();
    if terms.is_empty() {
        return "anything of its seller's".to_owned();
    }
    terms.join(", ")
}
