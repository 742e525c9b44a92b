//! The table of REST paths: LND's own (`lnrpc/*.yaml`), for the calls that are served.

use http::Method;

/// One row of the table.
#[derive(Debug)]
pub(super) struct Route {
    /// The HTTP method.
    pub(super) verb: Verb,
    /// The path; a segment in braces is a field of the request.
    pub(super) path: &'static str,
    /// The gRPC path of the call.
    pub(super) call: &'static str,
}

/// How a request is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verb {
    /// All fields in path and query.
    Get,
    /// The whole request as the body.
    Post,
}

/// Fields of the request given in the path, with their values.
pub(super) type Bindings = Vec<(&'static str, String)>;

/// What a path stands for.
#[derive(Debug)]
pub(super) enum Found {
    /// A call.
    Route(&'static Route, Bindings),
    /// A call, with another method.
    OtherVerb,
    /// Nothing.
    Nothing,
}

/// Finds the call of a request.
pub(super) fn find(method: &Method, path: &str) -> Found {
    let mut found = Found::Nothing;
    for route in ROUTES {
        match bind(route.path, path) {
            Some(bindings) if route.verb.is(method) => return Found::Route(route, bindings),
            Some(_) => found = Found::OtherVerb,
            None => {}
        }
    }
    found
}

impl Verb {
    fn is(self, method: &Method) -> bool {
        match self {
            Self::Get => method == Method::GET,
            Self::Post => method == Method::POST,
        }
    }
}

fn bind(pattern: &'static str, path: &str) -> Option<Bindings> {
    let mut bindings = vec![];
    let mut segments = path.split('/');
    for expected in pattern.split('/') {
        let segment = segments.next()?;
        match expected
            .strip_prefix('{')
            .and_then(|field| field.strip_suffix('}'))
        {
            Some(field) => bindings.push((field, percent_decoded(segment))),
            None if expected == segment => {}
            None => return None,
        }
    }
    segments.next().is_none().then_some(bindings)
}

/// Decodes percent-encoding; a part that is not encoded stays as it is.
pub(super) fn percent_decoded(text: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(text);
    decoded.decode_utf8_lossy().into_owned()
}

const fn get(path: &'static str, call: &'static str) -> Route {
    let verb = Verb::Get;
    Route { verb, path, call }
}

const fn post(path: &'static str, call: &'static str) -> Route {
    let verb = Verb::Post;
    Route { verb, path, call }
}

const ROUTES: &[Route] = &[
    get("/v1/balance/blockchain", "/lnrpc.Lightning/WalletBalance"),
    get("/v1/balance/channels", "/lnrpc.Lightning/ChannelBalance"),
    get("/v1/channels", "/lnrpc.Lightning/ListChannels"),
    post(
        "/v1/channels/transactions",
        "/lnrpc.Lightning/SendPaymentSync",
    ),
    get("/v1/getinfo", "/lnrpc.Lightning/GetInfo"),
    get("/v1/invoice/{r_hash_str}", "/lnrpc.Lightning/LookupInvoice"),
    get("/v1/invoices", "/lnrpc.Lightning/ListInvoices"),
    post("/v1/invoices", "/lnrpc.Lightning/AddInvoice"),
    get(
        "/v1/invoices/subscribe",
        "/lnrpc.Lightning/SubscribeInvoices",
    ),
    get("/v1/payments", "/lnrpc.Lightning/ListPayments"),
    get("/v1/payreq/{pay_req}", "/lnrpc.Lightning/DecodePayReq"),
    get("/v1/state", "/lnrpc.State/GetState"),
    get("/v1/state/subscribe", "/lnrpc.State/SubscribeState"),
    post(
        "/v2/router/route/estimatefee",
        "/routerrpc.Router/EstimateRouteFee",
    ),
    post("/v2/router/send", "/routerrpc.Router/SendPaymentV2"),
    get(
        "/v2/router/track/{payment_hash}",
        "/routerrpc.Router/TrackPaymentV2",
    ),
    get("/v2/versioner/version", "/verrpc.Versioner/GetVersion"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn found(verb: Method, path: &str) -> String {
        match find(&verb, path) {
            Found::Route(route, bindings) => format!("{} {bindings:?}", route.call),
            Found::OtherVerb => "other verb".to_owned(),
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn one_path_stands_for_a_call_per_verb() {
        let list = found(Method::GET, "/v1/invoices");
        assert_eq!(list, "/lnrpc.Lightning/ListInvoices []");
        let add = found(Method::POST, "/v1/invoices");
        assert_eq!(add, "/lnrpc.Lightning/AddInvoice []");
        assert_eq!(found(Method::DELETE, "/v1/invoices"), "other verb");
    }

    #[test]
    fn a_field_in_the_path_is_unescaped() {
        assert_eq!(
            found(Method::GET, "/v2/router/track/a%2fb-_%3D"),
            "/routerrpc.Router/TrackPaymentV2 [(\"payment_hash\", \"a/b-_=\")]"
        );
    }

    #[test]
    fn paths_must_match_whole() {
        for path in [
            "",
            "/",
            "/v1",
            "/v1/getinfo/",
            "/v1/getinfo/more",
            "/v1//getinfo",
            "/V1/getinfo",
            "/v1/invoice",
        ] {
            assert_eq!(found(Method::GET, path), "nothing", "{path}");
        }
    }

    #[test]
    fn every_row_is_a_call_that_exists_with_the_fields_it_names() {
        let rest = super::super::Rest::new().unwrap();
        for route in ROUTES {
            let input = rest.method(route).expect(route.call).input();
            let fields = bind(route.path, route.path).unwrap_or_default();
            for (field, _) in fields {
                assert!(input.get_field_by_name(field).is_some(), "{}", route.path);
            }
        }
    }
}
