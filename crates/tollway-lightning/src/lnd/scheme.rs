//! LND's entry in the wallet registry: `lndconnect://` URIs and tables of files.

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::permission::allowance;
use super::{Lnd, LndConnect};
use crate::registry::{Allowance, NamedWallet, SchemeError, WalletScheme, WalletTable, WalletUri};
use crate::{Invoicer, Payer, WalletError};

/// The scheme `lndconnect`, and tables `{ lnd = "host:port", tls_cert = …, macaroon = … }`.
#[derive(Clone, Copy, Debug)]
pub struct LndScheme;

impl WalletScheme for LndScheme {
    fn name(&self) -> &'static str {
        "lndconnect"
    }

    fn find(&self, uri: &WalletUri) -> Result<Arc<dyn NamedWallet>, SchemeError> {
        let connect = LndConnect::parse(&uri.expose())?;
        Ok(Arc::new(connect))
    }

    fn fields(&self) -> &'static [&'static str] {
        &["lnd", "macaroon", "tls_cert"]
    }

    fn find_table(&self, table: &WalletTable) -> Result<Arc<dyn NamedWallet>, SchemeError> {
        let connect = LndConnect::from_files(
            table.required("lnd")?,
            table.get("tls_cert").map(Path::new),
            Path::new(table.required("macaroon")?),
        )?;
        Ok(Arc::new(connect))
    }
}

impl NamedWallet for LndConnect {
    fn name(&self) -> String {
        format!("lnd:{}", self.address())
    }

    fn allowance(&self) -> Option<Allowance> {
        allowance(self.macaroon().identifier())
    }

    fn invoicer(&self) -> BoxFuture<'_, Result<Arc<dyn Invoicer>, WalletError>> {
        Box::pin(async { Ok(Arc::new(open(self)?.invoicer()) as _) })
    }

    fn payer(&self) -> BoxFuture<'_, Result<Arc<dyn Payer>, WalletError>> {
        Box::pin(async { Ok(Arc::new(open(self)?.payer()) as _) })
    }
}

fn open(connect: &LndConnect) -> Result<Lnd, WalletError> {
    Lnd::new(connect).map_err(|error| WalletError::Misconfigured {
        reason: error.to_string(),
    })
}
