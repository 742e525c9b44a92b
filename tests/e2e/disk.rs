//! A disk that is full when a payment settles.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::wallet::SilentWallet;
use crate::support::{Market, echo_api, stderr, stdout};

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_credential_that_could_not_be_saved_is_warned_about_and_used_again() {
    for form in ["-q", "--json"] {
        let market = Market::open().await;
        let Some(disk) = SmallDisk::mount(&market.client_dir()) else {
            println!("skipped: a tmpfs cannot be mounted here, which needs root");
            return;
        };
        let gateway = market.serve(echo_api().await, &[]).await;
        let wallet = SilentWallet::open(&market).await;
        let (url, uri) = (gateway.url("/a"), wallet.uri());
        let get = ["get", &url, "--wallet", &uri, form];
        let mut command = market.command(&get);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());

        let process = command.spawn().unwrap();
        wallet.withheld().await;
        disk.fill();
        wallet.speak();
        let first = tokio::task::spawn_blocking(move || process.wait_with_output().unwrap());
        let first = first.await.unwrap();
        disk.free();
        let again = market.run(&get).await;

        let (body, errors) = (stdout(&first), stderr(&first));
        let warning = if form == "-q" {
            assert!(body.contains("\"/a\""), "{body}");
            errors
        } else {
            assert_eq!(errors, "");
            let result: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(result["paid"]["state"], "settled", "{result}");
            result["warnings"][0].as_str().unwrap().to_owned()
        };
        for part in ["could not be saved", "full"] {
            assert!(warning.contains(part), "{part}: {warning}");
        }
        stdout(&again);
        assert_eq!(market.settled_payments().len(), 1);
        let listed = stdout(&market.run(&["token", "list"]).await);
        assert!(listed.contains("usable"), "{listed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_paid_for_and_counts_no_uses_is_fetched_with_a_full_disk() {
    for is_counted in [false, true] {
        let market = Market::open().await;
        let Some(disk) = SmallDisk::mount(&market.client_dir()) else {
            println!("skipped: a tmpfs cannot be mounted here, which needs root");
            return;
        };
        let terms: &[&str] = if is_counted {
            &["--max-uses", "3"]
        } else {
            &[]
        };
        let gateway = market.serve(echo_api().await, terms).await;
        let (url, elsewhere) = (gateway.url("/a"), gateway.url("/b"));
        stdout(&market.run(&["get", &url]).await);
        disk.fill();

        let again = market.run(&["get", &url]).await;
        let other = market.run(&["get", &elsewhere]).await;

        if is_counted {
            let errors = stderr(&again);
            assert_eq!(again.status.code(), Some(1), "{errors}");
            assert!(errors.contains("full"), "{errors}");
        } else {
            for output in [again, other] {
                assert!(stdout(&output).contains("\"path\""));
            }
        }
        assert_eq!(market.settled_payments().len(), 1);
    }
}

/// A file system of one megabyte, unmounted when dropped.
struct SmallDisk {
    dir: PathBuf,
}

impl SmallDisk {
    /// Mounts one, if this user may.
    fn mount(dir: &Path) -> Option<Self> {
        fs::create_dir_all(dir).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"])
            .arg(dir)
            .stderr(Stdio::null())
            .status();
        let is_mounted = mounted.is_ok_and(|status| status.success());
        is_mounted.then(|| Self {
            dir: dir.to_owned(),
        })
    }

    fn fill(&self) {
        let mut filler = File::create(self.dir.join("filler")).unwrap();
        while filler.write_all(&[0; 512]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.dir.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Detached at once, and gone when the last process has closed its files.
        let _unmounted = Command::new("umount").arg("-l").arg(&self.dir).status();
    }
}
