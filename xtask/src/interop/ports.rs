//! Free ports, for programs that cannot choose their own.

use std::net::TcpListener;

use anyhow::Result;

/// Where one node listens on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// For its clients.
    pub(crate) rpc: u16,
    /// For other nodes.
    pub(crate) p2p: u16,
}

impl Ports {
    /// For `N` nodes, all different.
    ///
    /// Another program could take one before it is used; the node then does not start and
    /// its log has the reason.
    ///
    /// # Errors
    ///
    /// When there are not that many.
    pub(crate) fn free<const N: usize>() -> Result<[Self; N]> {
        // All are held until all are known: one given back early could be given out again.
        let mut held = Vec::new();
        let mut ports = [Self { rpc: 0, p2p: 0 }; N];
        for Self { rpc, p2p } in &mut ports {
            for port in [rpc, p2p] {
                let listener = TcpListener::bind("127.0.0.1:0")?;
                *port = listener.local_addr()?.port();
                held.push(listener);
            }
        }
        Ok(ports)
    }
}
