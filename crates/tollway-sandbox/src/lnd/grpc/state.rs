//! State and version: LND's `lnrpc.State` and `verrpc.Versioner`.
//!
//! A sandbox is served only once it is up, so there is one state. The subscription stays open,
//! as LND's does: clients take its end for the end of the node.

use futures_util::{StreamExt as _, stream};
use tollway_lightning::lnd::proto::{lnrpc, verrpc};
use tonic::{Request, Response, Status, async_trait};

use super::super::generated::lnrpc::state_server::State;
use super::super::generated::verrpc::versioner_server::Versioner;
use super::{LndService, ResponseStream, report};

#[async_trait]
impl State for LndService {
    type SubscribeStateStream = ResponseStream<lnrpc::SubscribeStateResponse>;

    async fn get_state(
        &self,
        _request: Request<lnrpc::GetStateRequest>,
    ) -> Result<Response<lnrpc::GetStateResponse>, Status> {
        let state = lnrpc::WalletState::ServerActive.into();
        Ok(Response::new(lnrpc::GetStateResponse { state }))
    }

    async fn subscribe_state(
        &self,
        _request: Request<lnrpc::SubscribeStateRequest>,
    ) -> Result<Response<Self::SubscribeStateStream>, Status> {
        let state = lnrpc::WalletState::ServerActive.into();
        let now = stream::iter([Ok(lnrpc::SubscribeStateResponse { state })]);
        Ok(Response::new(
            self.until_stopped(now.chain(stream::pending())),
        ))
    }
}

#[async_trait]
impl Versioner for LndService {
    async fn get_version(
        &self,
        _request: Request<verrpc::VersionRequest>,
    ) -> Result<Response<verrpc::Version>, Status> {
        Ok(Response::new(report::version()))
    }
}
