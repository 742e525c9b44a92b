//! The LND adapter against a node that misbehaves on demand.
#![allow(
    clippy::unwrap_used,
    reason = "test helpers: a failure to set up is a failure of the test"
)]

mod node;

use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use bytes::Bytes;
use futures_util::future::{Either, select};
use l402::{Invoice, Msat, Network, Preimage};
use lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};
use prost::Message as _;
use tokio::time::Instant;
use tollway_lightning::lnd::Lnd;
use tollway_lightning::lnd::proto::lnrpc::payment::PaymentStatus;
use tollway_lightning::lnd::proto::lnrpc::{AddInvoiceResponse, PayReq, Payment};
use tollway_lightning::{
    InvoiceTerms, Invoicer as _, Paid, PayError, Payer as _, PaymentState, PaymentTerms, Repeat,
    WalletError, WalletKey,
};
use tonic::Code;

use node::{Identity, NODE_KEY, Node, Reply, Script, macaroon, payment};

#[tokio::test]
async fn the_pinned_certificate_is_trusted_and_the_macaroon_sent() {
    let identity = Identity::of("localhost");
    let node = Node::start(&identity, Script::idle()).await;

    let network = node.wallet(&identity).invoicer().network().await.unwrap();

    assert_eq!(network, Network::Regtest);
    assert_eq!(node.calls()[0].macaroon, macaroon().to_hex());
}

#[tokio::test]
async fn another_certificate_is_refused_before_the_macaroon_is_sent() {
    let node = Node::start(&Identity::of("localhost"), Script::idle()).await;
    let wallet = node.wallet(&Identity::of("localhost"));

    let refused = wallet.invoicer().network().await.unwrap_err();

    assert!(matches!(refused, WalletError::Unreachable { .. }));
    assert!(
        refused.to_string().contains("take its new tls.cert"),
        "{refused}"
    );
    assert!(node.calls().is_empty());
}

#[tokio::test]
async fn the_pinned_certificate_counts_for_its_own_names_only() {
    let identity = Identity::of("elsewhere");
    let node = Node::start(&identity, Script::idle()).await;

    let refused = node
        .wallet(&identity)
        .invoicer()
        .network()
        .await
        .unwrap_err();

    assert!(refused.to_string().contains("elsewhere"), "{refused}");
    assert!(node.calls().is_empty());
}

#[tokio::test]
async fn a_self_signed_certificate_must_be_given() {
    let node = Node::start(&Identity::of("localhost"), Script::idle()).await;

    let refused = node
        .wallet_without_certificate()
        .invoicer()
        .network()
        .await
        .unwrap_err();

    assert!(matches!(refused, WalletError::Unreachable { .. }));
    assert!(
        refused.to_string().contains("give its tls.cert"),
        "{refused}"
    );
    assert!(node.calls().is_empty());
}

#[tokio::test]
async fn a_broken_connection_is_replaced() {
    let identity = Identity::of("localhost");
    let node = Node::start(&identity, Script::idle()).await;
    let payer = node.wallet(&identity).payer();
    payer.lookup(preimage().payment_hash()).await.unwrap();

    node.hang_up();

    // The call that finds out may fail; one after it must not.
    let found = match payer.lookup(preimage().payment_hash()).await {
        Ok(found) => found,
        Err(_) => payer.lookup(preimage().payment_hash()).await.unwrap(),
    };
    assert_eq!(found, None);
}

#[tokio::test]
async fn a_macaroon_that_may_not_sell_is_refused_before_the_first_sale() {
    let script = Script {
        add_invoice: Reply::denied(),
        ..Script::idle()
    };
    let (_node, wallet) = start(script).await;

    let refused = wallet.invoicer().network().await.unwrap_err();

    assert!(matches!(refused, WalletError::Denied { .. }), "{refused}");
    assert!(
        refused
            .to_string()
            .contains("invoices:write: use the node's invoice.macaroon"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_node_of_an_unknown_network_is_refused() {
    for get_info in [Reply::network("litecoin"), Reply::message(&())] {
        let script = Script {
            get_info,
            ..Script::idle()
        };
        let (_node, wallet) = start(script).await;

        let refused = wallet.invoicer().network().await.unwrap_err();

        assert!(matches!(refused, WalletError::Refused { .. }), "{refused}");
    }
}

#[tokio::test]
async fn a_wallet_is_identified_by_its_node_key_and_network() {
    let (node, wallet) = start(Script::idle()).await;
    let payer = wallet.payer();

    let identity = payer.identity().await.unwrap();

    assert_eq!(identity.key(), WalletKey::Node(NODE_KEY));
    assert_eq!(identity.network(), Network::Regtest);
    assert_eq!(payer.identity().await.unwrap(), identity);
    assert_eq!(node.methods(), ["GetInfo"], "asked once");
}

#[tokio::test]
async fn a_payer_learns_its_network_and_identity_without_info_read() {
    let script = Script {
        decode: Reply::message(&PayReq::default()),
        ..Script::without_info()
    };
    let (node, wallet) = start(script).await;
    let payer = wallet.payer();

    let identity = payer.identity().await.unwrap();

    // The node reads the first sample, which is for the main network.
    assert_eq!(payer.network().await.unwrap(), Network::Mainnet);
    assert_eq!(identity.network(), Network::Mainnet);
    assert!(
        matches!(identity.key(), WalletKey::Account(_)),
        "{identity}"
    );
    assert_eq!(node.methods(), ["GetInfo", "DecodePayReq"]);
    assert!(!identity.to_string().contains(&macaroon().to_hex()));
}

#[tokio::test]
async fn a_payer_that_reads_no_sample_has_no_network() {
    let script = Script {
        decode: Reply::Refuse(Code::Unknown, "invoice not for current active network 'x'"),
        ..Script::without_info()
    };
    let (node, wallet) = start(script).await;

    let refused = wallet.payer().network().await.unwrap_err();

    assert!(matches!(refused, WalletError::Refused { .. }), "{refused}");
    assert_eq!(node.methods().len(), 6, "one sample for each network");
}

#[tokio::test]
async fn an_invoicer_learns_its_network_from_an_invoice_without_info_read() {
    let script = Script {
        add_invoice: Reply::message(&AddInvoiceResponse {
            payment_request: invoice(1).as_str().to_owned(),
            ..Default::default()
        }),
        ..Script::without_info()
    };
    let (node, wallet) = start(script).await;
    let invoicer = wallet.invoicer();

    assert_eq!(invoicer.network().await.unwrap(), Network::Regtest);
    assert_eq!(invoicer.network().await.unwrap(), Network::Regtest);

    assert_eq!(node.methods(), ["GetInfo", "AddInvoice"], "asked once");
}

#[tokio::test]
async fn a_denied_call_names_the_permission_and_the_macaroon_that_has_it() {
    let (_node, wallet) = start(Script::without_info()).await;
    let (payer, invoicer) = (wallet.payer(), wallet.invoicer());

    let to_pay = payer.network().await.unwrap_err();
    let to_be_paid = invoicer.network().await.unwrap_err();

    assert!(matches!(to_pay, WalletError::Denied { .. }), "{to_pay}");
    for (error, permission, file) in [
        (to_pay.to_string(), "offchain:read", "router.macaroon"),
        (to_be_paid.to_string(), "invoices:write", "invoice.macaroon"),
    ] {
        assert!(error.contains(permission), "{error}");
        assert!(error.contains(file), "{error}");
    }
}

#[tokio::test]
async fn a_macaroon_that_may_not_pay_pays_nothing_and_says_what_it_lacks() {
    let (_node, wallet) = start(Script::paying(Reply::denied(), not_found())).await;

    let answer = wallet.payer().pay(terms()).await;

    let shown = format!("{answer:?}");
    assert_failed(answer);
    assert!(shown.contains("offchain:write"), "{shown}");
}

#[tokio::test]
async fn lnd_promises_to_pay_a_hash_once() {
    let (node, wallet) = start(Script::idle()).await;

    let promises = wallet.payer().promises().await.unwrap();

    assert_eq!(promises.repeat, Repeat::PaysOnce);
    assert!(node.methods().is_empty(), "known without asking");
}

#[tokio::test]
async fn a_settled_payment_is_paid() {
    let (node, wallet) = start(Script::paying(settled(), not_found())).await;

    assert_eq!(wallet.payer().pay(terms()).await.unwrap(), paid());

    assert_eq!(node.methods(), ["GetInfo", "SendPaymentV2"]);
}

#[tokio::test]
async fn a_failed_payment_is_failed() {
    let failed = payment(PaymentStatus::Failed.into(), String::new());
    let (_node, wallet) = start(Script::paying(failed, not_found())).await;

    assert_failed(wallet.payer().pay(terms()).await);
}

#[tokio::test]
async fn a_payment_of_another_network_is_never_sent() {
    let script = Script {
        get_info: Reply::network("mainnet"),
        ..Script::paying(settled(), settled())
    };
    let (node, wallet) = start(script).await;

    assert_not_sent(wallet.payer().pay(terms()).await);

    assert_eq!(node.methods(), ["GetInfo"]);
}

#[tokio::test]
async fn a_wallet_that_cannot_be_asked_pays_nothing() {
    let locked = Reply::Refuse(Code::Unknown, "wallet locked");
    let script = Script {
        get_info: locked,
        ..Script::paying(settled(), settled())
    };
    let (node, wallet) = start(script).await;

    assert_not_sent(wallet.payer().pay(terms()).await);

    assert_eq!(node.methods(), ["GetInfo"]);
}

#[tokio::test]
async fn an_invoice_paid_before_is_answered_with_the_same_preimage() {
    let already = Reply::Refuse(Code::AlreadyExists, "invoice is already paid");
    let (_node, wallet) = start(Script::paying(already, settled())).await;

    assert_eq!(wallet.payer().pay(terms()).await.unwrap(), paid());
}

#[tokio::test]
async fn a_refusal_is_failed_only_when_no_payment_is_known() {
    let expired = || Reply::Refuse(Code::Unknown, "invoice expired");
    let in_flight = payment(PaymentStatus::InFlight.into(), String::new());
    for (track, sure) in [
        (not_found(), true),
        (in_flight, false),
        (Reply::HangUp, false),
        (Reply::Refuse(Code::Unknown, "shutting down"), false),
    ] {
        let (_node, wallet) = start(Script::paying(expired(), track)).await;

        let answer = wallet.payer().pay(terms()).await;

        if sure {
            assert_failed(answer);
        } else {
            assert_unknown(answer);
        }
    }
}

#[tokio::test]
async fn a_connection_lost_while_paying_is_looked_up() {
    let (node, wallet) = start(Script::paying(Reply::HangUp, settled())).await;

    assert_eq!(wallet.payer().pay(terms()).await.unwrap(), paid());

    assert_eq!(
        node.methods(),
        ["GetInfo", "SendPaymentV2", "TrackPaymentV2"]
    );
}

#[tokio::test]
async fn a_connection_lost_while_paying_is_never_called_a_failure() {
    let failed = payment(PaymentStatus::Failed.into(), String::new());
    for track in [not_found(), failed, Reply::HangUp, Reply::Nothing] {
        let (_node, wallet) = start(Script::paying(Reply::HangUp, track)).await;

        assert_unknown(wallet.payer().pay(terms()).await);
    }
}

#[tokio::test]
async fn an_http_error_in_front_of_the_node_leaves_the_payment_in_doubt() {
    for http in [302, 400, 401, 403, 404, 408, 429, 500, 502, 503, 504] {
        let (_node, wallet) = start(Script::paying(Reply::Http(http), not_found())).await;

        assert_unknown(wallet.payer().pay(terms()).await);
    }
}

#[tokio::test]
async fn a_stream_cut_short_by_a_proxy_leaves_the_payment_in_doubt() {
    for send in [Reply::Truncated(Bytes::new()), Reply::Http(200)] {
        let (_node, wallet) = start(Script::paying(send, not_found())).await;

        assert_unknown(wallet.payer().pay(terms()).await);
    }
}

#[tokio::test]
async fn an_http_error_is_neither_a_denial_nor_an_absence() {
    for http in [401, 403, 404, 500] {
        let script = Script {
            get_info: Reply::Http(http),
            ..Script::paying(settled(), Reply::Http(http))
        };
        let (node, wallet) = start(script).await;

        let network = wallet.payer().network().await.unwrap_err();
        let state = wallet.payer().lookup(preimage().payment_hash()).await;

        assert!(
            matches!(network, WalletError::Unreachable { .. }),
            "{network}"
        );
        assert!(state.is_err(), "{http}: {state:?}");
        assert_eq!(node.methods(), ["GetInfo", "TrackPaymentV2"]);
    }
}

#[tokio::test]
async fn a_payment_in_transition_is_followed_to_its_end() {
    let in_transition = || Reply::Refuse(Code::AlreadyExists, "payment is in transition");
    let failed = payment(PaymentStatus::Failed.into(), String::new());
    let (_node, wallet) = start(Script::paying(in_transition(), settled())).await;
    assert_eq!(wallet.payer().pay(terms()).await.unwrap(), paid());

    let (_node, wallet) = start(Script::paying(in_transition(), failed)).await;
    assert_failed(wallet.payer().pay(terms()).await);

    let in_flight = payment(PaymentStatus::InFlight.into(), String::new());
    let (_node, wallet) = start(Script::paying(in_transition(), in_flight)).await;
    assert_unknown(wallet.payer().pay(terms()).await);
}

#[tokio::test]
async fn a_stream_that_ends_early_is_in_doubt() {
    let (_node, wallet) = start(Script::paying(Reply::Nothing, not_found())).await;

    assert_unknown(wallet.payer().pay(terms()).await);
}

#[tokio::test]
async fn a_preimage_of_another_payment_proves_nothing() {
    let other = || payment(PaymentStatus::Succeeded.into(), "07".repeat(32));
    let (_node, wallet) = start(Script::paying(other(), other())).await;

    assert_unknown(wallet.payer().pay(terms()).await);
    wallet
        .payer()
        .lookup(preimage().payment_hash())
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_payment_that_could_not_be_sent_is_not_sent() {
    let (node, wallet) = start(Script::paying(settled(), settled())).await;
    let payer = wallet.payer();
    assert_eq!(payer.network().await.unwrap(), Network::Regtest);

    node.stop().await;

    // The first request may still find the dying connection, and is in doubt then; after that
    // there is none, and the outcome is certain.
    drop(payer.lookup(preimage().payment_hash()).await);
    assert_not_sent(payer.pay(terms()).await);
}

#[tokio::test]
async fn a_node_that_falls_silent_leaves_the_payment_in_doubt() {
    let (_node, wallet) = start(Script::paying(Reply::Silence, Reply::Silence)).await;
    let payer = wallet.payer();
    payer.network().await.unwrap();

    // From here on, every deadline has passed.
    tokio::time::pause();

    assert_unknown(payer.pay(terms()).await);
    payer.lookup(preimage().payment_hash()).await.unwrap_err();
}

#[tokio::test]
async fn a_call_that_hangs_is_unreachable_within_its_deadline() {
    let script = Script {
        add_invoice: Reply::Silence,
        decode: Reply::Silence,
        get_info: Reply::Silence,
        lookup: Reply::Silence,
        ..Script::idle()
    };
    let (node, wallet) = start(script).await;
    let (payer, invoicer) = (wallet.payer(), wallet.invoicer());
    payer.lookup(preimage().payment_hash()).await.unwrap();
    tokio::time::pause();
    let begun = Instant::now();

    let terms = InvoiceTerms {
        amount: Msat::from_msat(1),
        memo: String::new(),
        expiry_secs: 60,
    };
    for error in [
        payer.identity().await.unwrap_err(),
        invoicer.network().await.unwrap_err(),
        invoicer.invoice(terms).await.unwrap_err(),
        invoicer
            .lookup(preimage().payment_hash())
            .await
            .unwrap_err(),
    ] {
        assert!(matches!(error, WalletError::Unreachable { .. }), "{error}");
    }
    assert_not_sent(payer.pay(self::terms()).await);

    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
    assert!(!node.methods().contains(&"SendPaymentV2".to_owned()));
}

#[tokio::test]
async fn a_reset_stream_leaves_the_payment_in_doubt() {
    use h2::Reason;
    for reason in [
        Reason::NO_ERROR,
        Reason::CANCEL,
        Reason::REFUSED_STREAM,
        Reason::INTERNAL_ERROR,
        Reason::ENHANCE_YOUR_CALM,
        // Some have a gRPC code of their own: "permission denied", "unknown".
        Reason::INADEQUATE_SECURITY,
        Reason::HTTP_1_1_REQUIRED,
    ] {
        let (_node, wallet) = start(Script::paying(Reply::Reset(reason), not_found())).await;

        assert_unknown(wallet.payer().pay(terms()).await);
    }
}

#[tokio::test]
async fn a_response_too_large_to_read_leaves_the_payment_in_doubt() {
    for track in [not_found(), Reply::Huge] {
        let (_node, wallet) = start(Script::paying(Reply::Huge, track)).await;

        assert_unknown(wallet.payer().pay(terms()).await);
    }
    let script = Script {
        get_info: Reply::Huge,
        ..Script::idle()
    };
    let (_node, wallet) = start(script).await;
    let error = wallet.invoicer().network().await.unwrap_err();
    assert!(matches!(error, WalletError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_response_without_end_is_given_up_at_the_deadline() {
    let update = Payment {
        status: PaymentStatus::InFlight.into(),
        ..Default::default()
    };
    for frame in [
        node::frame(&update.encode_to_vec()),
        node::frame(&[]),
        Bytes::new(),
    ] {
        let (node, wallet) = start(Script::paying(Reply::Endless(frame), not_found())).await;
        let payer = wallet.payer();
        payer.network().await.unwrap();
        let until_late = async {
            node.sent_frames(10_000).await;
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(20)).await;
            tokio::time::resume();
        };

        let paying = pin!(payer.pay(terms()));
        let paid = match select(paying, pin!(until_late)).await {
            Either::Left((paid, _)) => paid,
            Either::Right(((), paying)) => paying.await,
        };

        assert_unknown(paid);
    }
}

#[tokio::test]
async fn an_empty_message_is_no_end_of_a_payment() {
    let empty = || Reply::message(&());
    let (_node, wallet) = start(Script::paying(empty(), empty())).await;

    assert_unknown(wallet.payer().pay(terms()).await);
    let found = wallet.payer().lookup(preimage().payment_hash()).await;
    assert_eq!(found.unwrap(), Some(PaymentState::InFlight));
}

#[tokio::test]
async fn a_certificate_that_changed_leaves_a_sent_payment_in_doubt_and_sends_no_other() {
    let (node, wallet) = start(Script::paying(Reply::HangUp, settled())).await;
    let payer = wallet.payer();
    payer.network().await.unwrap();
    node.renew(&Identity::of("localhost"));

    let sent = payer.pay(terms()).await;
    let later = payer.pay(terms()).await;

    for answer in [&sent, &later] {
        let shown = format!("{answer:?}");
        assert!(shown.contains("take its new tls.cert"), "{shown}");
    }
    assert_unknown(sent);
    assert_not_sent(later);
    assert_eq!(node.methods(), ["GetInfo", "SendPaymentV2"]);
}

#[tokio::test]
async fn a_lookup_returns_the_state_at_the_node() {
    for (track, expected) in [
        (not_found(), None),
        (settled(), Some(PaymentState::Settled(paid()))),
        (
            payment(PaymentStatus::InFlight.into(), String::new()),
            Some(PaymentState::InFlight),
        ),
    ] {
        let (_node, wallet) = start(Script::paying(Reply::HangUp, track)).await;

        let found = wallet
            .payer()
            .lookup(preimage().payment_hash())
            .await
            .unwrap();

        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn a_lookup_that_cannot_be_answered_is_an_error_and_not_none() {
    for track in [
        Reply::HangUp,
        Reply::Nothing,
        Reply::Refuse(Code::Unknown, "permission denied"),
        Reply::Refuse(Code::Unavailable, "starting"),
    ] {
        let (_node, wallet) = start(Script::paying(settled(), track)).await;

        wallet
            .payer()
            .lookup(preimage().payment_hash())
            .await
            .unwrap_err();
    }
}

async fn start(script: Script) -> (Node, Lnd) {
    let identity = Identity::of("localhost");
    let node = Node::start(&identity, script).await;
    let wallet = node.wallet(&identity);
    (node, wallet)
}

fn assert_failed(answer: Result<Paid, PayError>) {
    assert!(matches!(answer, Err(PayError::Failed { .. })), "{answer:?}");
}

fn assert_not_sent(answer: Result<Paid, PayError>) {
    assert!(
        matches!(answer, Err(PayError::NotSent { .. })),
        "{answer:?}"
    );
}

fn assert_unknown(answer: Result<Paid, PayError>) {
    assert!(
        matches!(answer, Err(PayError::Unknown { .. })),
        "{answer:?}"
    );
}

fn settled() -> Reply {
    payment(PaymentStatus::Succeeded.into(), preimage().expose_hex())
}

fn not_found() -> Reply {
    Reply::Refuse(Code::NotFound, "payment isn't initiated")
}

fn paid() -> Paid {
    Paid {
        preimage: preimage(),
        fee: Msat::from_msat(5),
    }
}

fn preimage() -> Preimage {
    Preimage::new([3; 32])
}

fn terms() -> PaymentTerms {
    PaymentTerms {
        invoice: invoice(10_000),
        fee_max: Msat::ZERO,
        timeout: Duration::from_secs(5),
    }
}

fn invoice(amount_msat: u64) -> Invoice {
    let hash = sha256::Hash::from_byte_array(*preimage().payment_hash().as_bytes());
    let invoice = InvoiceBuilder::new(Currency::Regtest)
        .description("a test".to_owned())
        .payment_hash(hash)
        .payment_secret(PaymentSecret([1; 32]))
        .amount_milli_satoshis(amount_msat)
        .duration_since_epoch(SystemTime::now().duration_since(UNIX_EPOCH).unwrap())
        .min_final_cltv_expiry_delta(80)
        .build_signed(|message| {
            let key = SecretKey::from_slice(&[5; 32]).unwrap();
            Secp256k1::new().sign_ecdsa_recoverable(message, &key)
        })
        .unwrap();
    Invoice::parse(&invoice.to_string()).unwrap()
}
