//! LND's `lnrpc.Lightning` service: the part of it that is served.

use tollway_lightning::lnd::proto::lnrpc;
use tonic::{Request, Response, Status, async_trait};

use super::super::generated::lnrpc::lightning_server::Lightning;
use super::{LndService, ResponseStream, payreq, refused};
use crate::wallet::parse_invoice;

#[async_trait]
impl Lightning for LndService {
    type SubscribeInvoicesStream = ResponseStream<lnrpc::Invoice>;

    async fn get_info(
        &self,
        _request: Request<lnrpc::GetInfoRequest>,
    ) -> Result<Response<lnrpc::GetInfoResponse>, Status> {
        Ok(Response::new(self.describe()))
    }

    async fn wallet_balance(
        &self,
        request: Request<lnrpc::WalletBalanceRequest>,
    ) -> Result<Response<lnrpc::WalletBalanceResponse>, Status> {
        self.coins(request.get_ref()).map(Response::new)
    }

    async fn channel_balance(
        &self,
        _request: Request<lnrpc::ChannelBalanceRequest>,
    ) -> Result<Response<lnrpc::ChannelBalanceResponse>, Status> {
        Ok(Response::new(self.channel_sums()))
    }

    async fn list_channels(
        &self,
        request: Request<lnrpc::ListChannelsRequest>,
    ) -> Result<Response<lnrpc::ListChannelsResponse>, Status> {
        Ok(Response::new(self.open_channels(request.get_ref())))
    }

    async fn add_invoice(
        &self,
        request: Request<lnrpc::Invoice>,
    ) -> Result<Response<lnrpc::AddInvoiceResponse>, Status> {
        self.make_invoice(request.get_ref()).map(Response::new)
    }

    async fn lookup_invoice(
        &self,
        request: Request<lnrpc::PaymentHash>,
    ) -> Result<Response<lnrpc::Invoice>, Status> {
        self.find_invoice(request.get_ref()).map(Response::new)
    }

    async fn list_invoices(
        &self,
        request: Request<lnrpc::ListInvoiceRequest>,
    ) -> Result<Response<lnrpc::ListInvoiceResponse>, Status> {
        Ok(Response::new(self.page_of_invoices(request.get_ref())))
    }

    async fn subscribe_invoices(
        &self,
        request: Request<lnrpc::InvoiceSubscription>,
    ) -> Result<Response<Self::SubscribeInvoicesStream>, Status> {
        let updates = self.watch_invoices(request.get_ref());
        Ok(Response::new(updates))
    }

    async fn decode_pay_req(
        &self,
        request: Request<lnrpc::PayReqString>,
    ) -> Result<Response<lnrpc::PayReq>, Status> {
        let invoice = parse_invoice(&request.get_ref().pay_req).map_err(refused)?;
        Ok(Response::new(payreq::describe(&invoice)))
    }

    async fn send_payment_sync(
        &self,
        request: Request<lnrpc::SendRequest>,
    ) -> Result<Response<lnrpc::SendResponse>, Status> {
        let paid = self.pay_and_wait(request.get_ref()).await;
        paid.map(Response::new)
    }

    async fn list_payments(
        &self,
        request: Request<lnrpc::ListPaymentsRequest>,
    ) -> Result<Response<lnrpc::ListPaymentsResponse>, Status> {
        Ok(Response::new(self.page_of_payments(request.get_ref())))
    }
}
