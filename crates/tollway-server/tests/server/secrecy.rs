//! Whatever a client sends, none of it comes back or stands in a log.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, Response, header};
use http_body_util::BodyExt;
use l402::SchemeName;
use proptest::prelude::*;
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{BACKEND_SECRET, Mood, Shop, narrowed};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_of_a_credential_is_ever_written_anywhere(damage in damage(), mood in mood()) {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(log.clone())
            .finish();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _logged = tracing::subscriber::set_default(subscriber);
        let (sent, seen) = runtime.block_on(exchange(&damage, mood));

        let written = format!("{seen}\n{}", log.text());
        for secret in pieces(&sent) {
            prop_assert!(!written.contains(secret), "{secret:?} of {sent:?} in {written}");
        }
        prop_assert!(!seen.contains(BACKEND_SECRET), "{seen}");
    }
}

#[tokio::test]
async fn the_log_has_what_the_client_does_not_get() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
    let _logged = tracing::subscriber::set_default(subscriber);

    exchange(&Damage::None, Mood::Works).await;
    assert_eq!(log.text(), "", "a request is no news");
    exchange(&Damage::Cut(9), Mood::Down).await;

    assert!(log.text().contains(BACKEND_SECRET), "{}", log.text());
}

/// Sends a damaged credential, and returns it with all that came back but the new challenge.
async fn exchange(damage: &Damage, mood: Mood) -> (String, String) {
    let shop = Shop::open().await;
    let credential = narrowed(&shop.buy().await, "secret-note=only-the-holder-knows");
    let sent = damage.done_to(credential.authorization(SchemeName::L402));
    shop.wallet.set_mood(mood);
    let paywall = shop.paywall();
    let app = Router::new().route("/", get(|| async { "the weather" }).layer(paywall));
    let request = Request::get("/")
        .header(header::AUTHORIZATION, &sent)
        .body(Body::empty())
        .unwrap();

    let response = app.oneshot(request).await.unwrap();

    (sent, text(response).await)
}

async fn text(response: Response<Body>) -> String {
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::WWW_AUTHENTICATE);
    let body = body.collect().await.unwrap().to_bytes();
    format!("{parts:?} {}", String::from_utf8_lossy(&body))
}

/// Every stretch of the credential long enough to be no accident.
fn pieces(sent: &str) -> impl Iterator<Item = &str> {
    (0..sent.len()).filter_map(move |at| sent.get(at..at.checked_add(12)?))
}

#[derive(Clone, Debug)]
enum Damage {
    Append(String),
    Cut(usize),
    None,
    Replace(usize, char),
}

impl Damage {
    fn done_to(&self, mut text: String) -> String {
        let place = |at: usize| "L402 ".len() + at % (text.len() - "L402 ".len());
        match self {
            Self::Append(more) => text.push_str(more),
            Self::Cut(at) => text.truncate(place(*at)),
            Self::None => {}
            Self::Replace(at, with) => {
                let at = place(*at);
                text.replace_range(at..=at, &with.to_string());
            }
        }
        text
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        Just(Damage::None),
        any::<usize>().prop_map(Damage::Cut),
        "[ -~]{1,40}".prop_map(Damage::Append),
        (any::<usize>(), prop::char::range(' ', '~'))
            .prop_map(|(at, with)| Damage::Replace(at, with)),
    ]
}

fn mood() -> impl Strategy<Value = Mood> {
    prop::sample::select(vec![Mood::Works, Mood::Greedy, Mood::Down])
}

#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
