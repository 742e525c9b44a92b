//! LND's `routerrpc.Router` service.

use bitcoin::secp256k1::PublicKey;
use l402::Msat;
use tollway_lightning::lnd::proto::{lnrpc, routerrpc};
use tonic::{Request, Response, Status, async_trait};

use super::super::generated::routerrpc::router_server::Router;
use super::amount;
use super::{LndService, ResponseStream, int64, refused};
use crate::wallet::{EstimateError, FeeEstimate, parse_invoice};

#[async_trait]
impl Router for LndService {
    type SendPaymentV2Stream = ResponseStream<lnrpc::Payment>;
    type TrackPaymentV2Stream = ResponseStream<lnrpc::Payment>;

    async fn send_payment_v2(
        &self,
        request: Request<routerrpc::SendPaymentRequest>,
    ) -> Result<Response<Self::SendPaymentV2Stream>, Status> {
        self.pay(request.get_ref()).map(Response::new)
    }

    async fn track_payment_v2(
        &self,
        request: Request<routerrpc::TrackPaymentRequest>,
    ) -> Result<Response<Self::TrackPaymentV2Stream>, Status> {
        self.watch_payment(request.get_ref()).map(Response::new)
    }

    async fn estimate_route_fee(
        &self,
        request: Request<routerrpc::RouteFeeRequest>,
    ) -> Result<Response<routerrpc::RouteFeeResponse>, Status> {
        let request = request.get_ref();
        let estimate = match (request.dest.is_empty(), request.payment_request.is_empty()) {
            (false, true) => self.estimate_to_node(request),
            (true, false) => self.estimate_for_invoice(&request.payment_request),
            (true, true) | (false, false) => {
                Err(refused("specify either a destination or an invoice"))
            }
        };
        estimate.map(Response::new)
    }
}

impl LndService {
    fn estimate_to_node(
        &self,
        request: &routerrpc::RouteFeeRequest,
    ) -> Result<routerrpc::RouteFeeResponse, Status> {
        if request.amt_sat <= 0 {
            return Err(refused("amount must be greater than 0"));
        }
        let amount = amount::either(request.amt_sat, 0).map_err(refused)?;
        let node = PublicKey::from_slice(&request.dest)
            .map_err(|error| refused(format!("invalid destination key: {error}")))?;
        let estimate = self.wallet.estimate_fee(node, amount);
        estimate
            .map(|found| self.estimated(found))
            .map_err(|error| match error {
                EstimateError::InsufficientBalance => refused("insufficient local balance"),
                EstimateError::NoRoute => refused("unable to find a path to destination"),
            })
    }

    /// For an invoice LND sends a probe, and reports its failure instead of failing.
    fn estimate_for_invoice(&self, bolt11: &str) -> Result<routerrpc::RouteFeeResponse, Status> {
        use lnrpc::PaymentFailureReason as Lnd;
        let invoice = parse_invoice(bolt11).map_err(refused)?;
        let amount = invoice
            .amount_milli_satoshis()
            .filter(|&msat| msat > 0)
            .map(Msat::from_msat)
            .ok_or_else(|| refused("payment request amount must be greater than 0"))?;
        let reason = match self
            .wallet
            .estimate_fee(invoice.get_payee_pub_key(), amount)
        {
            Ok(found) => return Ok(self.estimated(found)),
            Err(EstimateError::InsufficientBalance) => Lnd::FailureReasonInsufficientBalance,
            Err(EstimateError::NoRoute) => Lnd::FailureReasonNoRoute,
        };
        Ok(routerrpc::RouteFeeResponse {
            failure_reason: reason.into(),
            ..routerrpc::RouteFeeResponse::default()
        })
    }

    fn estimated(&self, found: FeeEstimate) -> routerrpc::RouteFeeResponse {
        let height = self.wallet.info().tip.height;
        routerrpc::RouteFeeResponse {
            routing_fee_msat: int64(found.fee.as_msat()),
            time_lock_delay: i64::from(height.saturating_add(found.time_lock_blocks)),
            failure_reason: lnrpc::PaymentFailureReason::FailureReasonNone.into(),
        }
    }
}
