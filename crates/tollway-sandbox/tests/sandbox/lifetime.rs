//! Starting, stopping and starting again.

use bitcoin::Amount;
use tollway_sandbox::wallet::{FailureReason, Initiator, SendError};
use tollway_sandbox::{ChannelPlan, History, Sandbox, SandboxConfig, SandboxError};

use crate::{
    btc, failure, invoice, network, network_in, network_with, pay, payment, preimage, sat,
};

#[tokio::test]
async fn a_network_starts_with_money_on_both_sides() {
    let (sandbox, _dir) = network().await;

    for wallet in sandbox.wallets() {
        let info = wallet.info();
        assert_eq!(info.alias, wallet.name());
        assert_eq!((info.active_channels, info.inactive_channels), (4, 0));
        assert_eq!((info.pending_channels, info.peers), (0, 1));
        assert_eq!(info.tip, sandbox.chain().tip());
        assert_eq!(wallet.onchain_balance(), Amount::ONE_BTC);
    }
    let buyer = sandbox.wallet("buyer").unwrap();
    assert_eq!(buyer.channel_balance().local, btc(16));
    assert_eq!(
        sandbox.wallet("seller").unwrap().channel_balance().local,
        btc(4)
    );
    assert!(sandbox.wallet("broker").is_none());
    for channel in buyer.channels() {
        assert_eq!(channel.capacity, Amount::from_int_btc(5));
        assert_eq!((channel.local, channel.remote), (btc(4), btc(1)));
        assert_eq!(channel.initiator, Initiator::Local);
        assert_eq!(channel.peer, sandbox.seller().info().pubkey);
        assert!(channel.active && channel.private);
    }
}

#[tokio::test]
async fn identities_survive_a_restart_and_history_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let first = network_in(dir.path()).await;
    assert_eq!(first.history(), History::New);
    let before = first.wallets().map(|wallet| wallet.info().pubkey);
    let secrets = first.wallets().map(|wallet| wallet.derive_secret("keys"));
    pay(first.buyer(), &invoice(first.seller(), Some(sat(1)))).await;
    let unpaid = invoice(first.seller(), Some(sat(1)));
    first.stop().await;

    let second = network_in(dir.path()).await;

    assert_eq!(second.history(), History::Reset);
    let after = second.wallets().map(|wallet| wallet.info().pubkey);
    assert_eq!(after, before);
    assert_eq!(
        second.wallets().map(|wallet| wallet.derive_secret("keys")),
        secrets
    );
    assert_eq!(second.seller().invoices(0, 9), []);
    assert_eq!(second.buyer().payments(0, 9), []);
    // The seller's signature is good, but it does not know the hash any more.
    let late = pay(second.buyer(), &unpaid).await;
    assert_eq!(failure(&late), FailureReason::IncorrectPaymentDetails);
}

#[tokio::test]
async fn secrets_differ_by_wallet_and_purpose() {
    let (sandbox, _dir) = network().await;
    let (seller, buyer) = (sandbox.seller(), sandbox.buyer());

    assert_ne!(seller.derive_secret("a"), buyer.derive_secret("a"));
    assert_ne!(seller.derive_secret("a"), seller.derive_secret("b"));
    assert_ne!(seller.info().pubkey, buyer.info().pubkey);
}

#[tokio::test]
async fn two_networks_do_not_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let first = network_in(dir.path()).await;

    let second = Sandbox::start(SandboxConfig::new(dir.path().to_owned())).await;

    assert!(
        matches!(second, Err(SandboxError::InUse { .. })),
        "{second:?}"
    );
    preimage(&pay(first.buyer(), &invoice(first.seller(), Some(sat(1)))).await);
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("taken");
    std::fs::write(&file, "").unwrap();

    let refused = Sandbox::start(SandboxConfig::new(file.clone()))
        .await
        .unwrap_err();

    assert!(
        refused.to_string().contains(file.to_str().unwrap()),
        "{refused}"
    );
}

#[tokio::test]
async fn a_stopped_network_begins_no_payment() {
    let (sandbox, _dir) = network().await;
    let asked = invoice(sandbox.seller(), Some(sat(1)));
    let buyer = sandbox.buyer().clone();

    sandbox.stop().await;

    assert_eq!(
        buyer.pay(&payment(&asked.bolt11)).unwrap_err(),
        SendError::Stopped
    );
}

#[tokio::test]
async fn dropping_a_network_ends_what_waits_for_it_and_frees_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox = network_in(dir.path()).await;
    let seller = sandbox.seller().clone();
    let mut updates = seller.subscribe_invoices(seller.invoice_cursor());

    drop(sandbox);

    assert_eq!(updates.next().await, None);
    let again = network_in(dir.path()).await;
    assert_eq!(again.history(), History::Reset);
}

#[tokio::test]
async fn an_invoice_stays_payable_however_far_the_chains_time_runs_ahead() {
    let (sandbox, _dir) = network().await;
    let asked = invoice(sandbox.seller(), Some(sat(1)));
    let before = sandbox.seller().info().tip.time;

    // A second a block, so this is an hour for the invoice and two for the node's leeway.
    sandbox.mine(10_900);

    assert!(sandbox.seller().info().tip.time > before.plus_secs(3_600 + 7_200));
    preimage(&pay(sandbox.buyer(), &asked).await);
}

#[tokio::test]
async fn blocks_can_be_mined_while_payments_flow() {
    let (sandbox, _dir) = network().await;
    let height = sandbox.buyer().info().tip.height;

    sandbox.mine(10);

    for wallet in sandbox.wallets() {
        assert_eq!(wallet.info().tip.height, height + 10);
    }
    preimage(&pay(sandbox.buyer(), &invoice(sandbox.seller(), Some(sat(1)))).await);
}

#[tokio::test]
async fn more_channels_than_a_node_accepts_unconfirmed_are_opened_in_groups() {
    let (sandbox, _dir) = network_with(ChannelPlan {
        count: 9,
        ..ChannelPlan::default()
    })
    .await;

    assert_eq!(sandbox.buyer().info().active_channels, 9);
    assert_eq!(sandbox.buyer().channel_balance().local, btc(36));
}

#[tokio::test]
async fn a_channel_larger_than_many_rewards_is_funded() {
    let (sandbox, _dir) = network_with(ChannelPlan {
        count: 2,
        capacity: Amount::from_int_btc(170),
        ..ChannelPlan::default()
    })
    .await;

    preimage(&pay(sandbox.buyer(), &invoice(sandbox.seller(), Some(btc(160)))).await);
}

#[tokio::test]
async fn a_channel_the_peer_refuses_is_named_as_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let refused = Sandbox::start(SandboxConfig {
        data_dir: dir.path().to_owned(),
        channels: ChannelPlan {
            max_accepted_htlcs: 0,
            ..ChannelPlan::default()
        },
    })
    .await
    .unwrap_err();

    let SandboxError::Channel { reason } = refused else {
        panic!("{refused}");
    };
    assert!(reason.contains("max_accepted_htlcs"), "{reason}");
}

#[tokio::test]
async fn nearly_all_of_a_balance_can_be_spent_and_a_refill_adds_to_it() {
    let (sandbox, _dir) = network().await;
    let all_but_a_little = btc(16).checked_sub(sat(100_000)).unwrap();
    let spent = invoice(sandbox.seller(), Some(all_but_a_little));
    preimage(&pay(sandbox.buyer(), &spent).await);
    let unaffordable = pay(sandbox.buyer(), &invoice(sandbox.seller(), Some(btc(1)))).await;
    assert_eq!(failure(&unaffordable), FailureReason::InsufficientBalance);

    sandbox.refill(Amount::from_int_btc(5)).await.unwrap();

    assert_eq!(sandbox.buyer().info().active_channels, 5);
    preimage(&pay(sandbox.buyer(), &invoice(sandbox.seller(), Some(btc(4)))).await);
}

#[cfg(unix)]
#[tokio::test]
async fn other_users_cannot_look_into_the_data_directory() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("sandbox");

    let _running = network_in(&data_dir).await;

    for (name, expected) in [("", 0o700), ("seller", 0o700), ("buyer/seed", 0o600)] {
        let found = std::fs::metadata(data_dir.join(name)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, expected, "{name}");
    }
}
