//! Whether caveats would do on a gateway what their writer means.
//!
//! The rules are the verifier's, which is asked: it judges a paid token with the same caveats
//! and a key of our own, for a request made to fit them. What it denies even then, no request
//! could satisfy.

use std::net::IpAddr;

use l402::{
    Caveat, Credential, Denial, Identifier, Macaroon, Preimage, RequestContext, RevocationSet,
    RootKey, TokenId, UnixSeconds, verify_with,
};

use super::facts::Facts;

/// Why caveats are not added.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Misfit {
    /// No request would be accepted.
    Nothing {
        /// Why not even the one made to fit.
        denial: Denial,
    },
    /// No request asks for what the condition names.
    Unenforced {
        /// The condition.
        condition: String,
    },
    /// The verifier does not know the condition and would ignore it.
    Unknown {
        /// The condition.
        condition: String,
    },
    /// The verifier refuses the value.
    Value {
        /// The condition.
        condition: String,
    },
    /// The token allows less already.
    Widens {
        /// The condition.
        condition: String,
    },
}

/// Decides whether `added` restrict `token` as a gateway reads them.
pub(super) fn check(token: &Macaroon, added: &[Caveat], now: UnixSeconds) -> Result<(), Misfit> {
    let all = Conditions::of(token, added);
    let mut unknown: Option<Vec<String>> = None;
    for service in &all.services() {
        let ignored = all.judge(service, now)?;
        unknown = Some(match unknown {
            None => ignored,
            // A condition of another service is ignored, and known all the same.
            Some(before) => before
                .into_iter()
                .filter(|text| ignored.contains(text))
                .collect(),
        });
    }
    let unknown = unknown.unwrap_or_default();
    let sold = Conditions::of(token, &[]);
    for caveat in added {
        let condition = caveat.condition().to_owned();
        if unknown.iter().any(|text| text == caveat.as_str()) {
            return Err(Misfit::Unknown { condition });
        }
        // An origin is compared as text: one that no browser sends is readable and useless.
        let is_sent = condition != "origin" || l402::caveat::origin(caveat.value()).is_ok();
        if caveat.value().is_empty() || !is_sent {
            return Err(Misfit::Value { condition });
        }
        // A capability is asked for where one is sold, and tokens then name it. An empty list
        // names none.
        let is_unenforced =
            condition.ends_with("_capabilities") && sold.last(&condition).unwrap_or_default() == "";
        if is_unenforced {
            return Err(Misfit::Unenforced { condition });
        }
    }
    Ok(())
}

/// The caveats of a token, those to be added last.
struct Conditions {
    texts: Vec<String>,
    names: Vec<String>,
}

impl Conditions {
    fn of(token: &Macaroon, added: &[Caveat]) -> Self {
        let is_ours = |text: &String| !text.starts_with("preimage=");
        let mut texts: Vec<String> = token
            .unverified_caveats()
            .filter(|caveat| !caveat.is_third_party())
            .filter_map(|caveat| String::from_utf8(caveat.id().to_vec()).ok())
            .filter(is_ours)
            .collect();
        let mut names = Facts::of(token).services;
        if names.is_empty() {
            // A token of another issuer: whatever it is for, this is not about that.
            names = vec![ANY_SERVICE.to_owned()];
            texts.insert(0, format!("services={ANY_SERVICE}:0"));
        }
        texts.extend(added.iter().map(|caveat| caveat.as_str().to_owned()));
        Self { texts, names }
    }

    /// Returns the services that are left, each with the path of its resource.
    fn services(&self) -> Vec<String> {
        match self.last("services") {
            Some(list) => super::facts::names(list),
            None => self.names.clone(),
        }
    }

    /// Returns the last value of a condition.
    fn last(&self, condition: &str) -> Option<&str> {
        let values = self.texts.iter().filter_map(|text| text.split_once('='));
        let mut of_condition = values.filter(|(found, _)| found.trim() == condition);
        of_condition.next_back().map(|(_, value)| value.trim())
    }

    /// Has the verifier judge a request for one service that fits as well as any, and returns
    /// the caveats that it ignored.
    fn judge(&self, service: &str, now: UnixSeconds) -> Result<Vec<String>, Misfit> {
        let at = service.find('/').unwrap_or(service.len());
        let (name, resource) = service.split_at_checked(at).unwrap_or((service, ""));
        let resource = (!resource.is_empty()).then(|| unescape(resource));
        let prefix = self.last("path_prefix").unwrap_or("/");
        let path = resource.as_deref().unwrap_or(prefix);
        let first = |condition: &str| self.last(condition)?.split(',').next();
        let method = first("method").unwrap_or("GET");
        let capability = first(&format!("{name}_capabilities")).filter(|list| !list.is_empty());
        let ip: Option<IpAddr> = self.last("ip").and_then(|ip| ip.parse().ok());
        let fingerprint = self.last("tls_fingerprint").and_then(fingerprint);
        let request = RequestContext::new(name, method, path, now)
            .with_resource(resource.as_deref())
            .with_capability(capability)
            .with_client_ip(ip)
            .with_origin(self.last("origin"))
            .with_tls_certificate(fingerprint.as_ref());

        let (root, credential) = self.paid()?;
        let mut ignored = Vec::new();
        let verdict = verify_with(
            &root,
            &RevocationSet::default(),
            &credential,
            &request,
            &mut |caveat| {
                ignored.push(String::from_utf8_lossy(caveat.id()).into_owned());
                Ok(())
            },
        );
        match verdict {
            Ok(_verified) => Ok(ignored),
            Err(Denial::Unreadable { condition }) => Err(Misfit::Value { condition }),
            Err(Denial::Widened { condition }) => Err(Misfit::Widens { condition }),
            Err(denial) => Err(Misfit::Nothing { denial }),
        }
    }

    /// Returns a paid token with these caveats, and its key.
    fn paid(&self) -> Result<(RootKey, Credential), Misfit> {
        let too_large = |_: l402::MacaroonError| Misfit::Value {
            condition: "services".to_owned(),
        };
        let root = RootKey::new([0; 32]);
        let preimage = Preimage::new([0; 32]);
        let identifier = Identifier {
            payment_hash: preimage.payment_hash(),
            token_id: TokenId::new([0; 32]),
        };
        let mut token = Macaroon::mint(&root, "", &identifier.to_bytes()).map_err(too_large)?;
        for text in &self.texts {
            token = token.with_caveat(text.as_bytes()).map_err(too_large)?;
        }
        Ok((root, Credential::new(token, preimage)))
    }
}

fn fingerprint(hex: &str) -> Option<[u8; 32]> {
    // A payment hash has the same form.
    let read: l402::PaymentHash = hex.parse().ok()?;
    Some(*read.as_bytes())
}

/// Undoes the percent-encoding of a path in a list of services.
fn unescape(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_digits| *byte == b'%');
        let decoded = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(decoded.unwrap_or(*byte));
        rest = match decoded {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

const ANY_SERVICE: &str = "service";

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds::new(1_800_000_000);

    fn token(caveats: &[&str]) -> Macaroon {
        let minted = Macaroon::mint(&RootKey::new([7; 32]), "lsat", &[1; 66]).unwrap();
        caveats.iter().fold(minted, |token, caveat| {
            token.with_caveat(caveat.as_bytes()).unwrap()
        })
    }

    fn check(before: &[&str], added: &str) -> Result<(), Misfit> {
        super::check(&token(before), &[Caveat::parse(added).unwrap()], NOW)
    }

    #[test]
    fn what_restricts_fits() {
        let sold = [
            "services=a:0,b:1",
            "b_capabilities=read,write",
            "max_uses=5",
        ];
        for added in [
            "path_prefix=/v1",
            "method=PUT",
            "a_valid_until=1800000001",
            "valid_until=1800000001",
            "expiration=1800000001000",
            "b_capabilities=read",
            "services=b:0",
            "max_uses=5",
            "ip=::1",
            "origin=https://a.example",
        ] {
            assert_eq!(check(&sold, added), Ok(()), "{added}");
        }
        assert_eq!(check(&["services=a/v1/New%20York:0"], "method=GET"), Ok(()));
        assert_eq!(
            check(&[], "max_uses=1"),
            Ok(()),
            "a token of another issuer"
        );
    }

    #[test]
    fn what_restricts_nothing_is_unknown() {
        for added in [
            "path=/v1",
            "foo=bar",
            "c_valid_until=1",
            "valid_for=3600",
            "Method=GET",
        ] {
            let misfit = check(&["services=a:0,b:1"], added).unwrap_err();
            assert!(
                matches!(misfit, Misfit::Unknown { .. }),
                "{added}: {misfit:?}"
            );
        }
    }

    #[test]
    fn a_capability_of_a_service_without_capabilities_restricts_nothing() {
        for sold in [
            &["services=a:0"][..],
            &["services=a:0", "a_capabilities="],
            &["services=a:0,b:0", "b_capabilities=read"],
        ] {
            let misfit = check(sold, "a_capabilities=read").unwrap_err();
            assert!(matches!(misfit, Misfit::Unenforced { .. }), "{misfit:?}");
        }
    }

    #[test]
    fn a_value_that_would_be_refused_does_not_fit() {
        for added in [
            "valid_until=tomorrow",
            "path_prefix=v1",
            "max_uses=0",
            "max_uses=01",
            "ip=here",
            "tls_fingerprint=abc",
            "services=a",
            "origin=",
            "origin=https://App.example/",
            "a_capabilities=",
        ] {
            let misfit = check(&["services=a:0"], added).unwrap_err();
            assert!(
                matches!(misfit, Misfit::Value { .. }),
                "{added}: {misfit:?}"
            );
        }
    }

    #[test]
    fn what_allows_more_or_leaves_nothing_does_not_fit() {
        let sold = [
            "services=a:0",
            "max_uses=5",
            "method=GET",
            "path_prefix=/v1",
        ];
        for added in [
            "max_uses=6",
            "services=a:1",
            "services=b:0",
            "path_prefix=/v2",
        ] {
            assert!(check(&sold, added).is_err(), "{added}");
        }
        for added in [
            "method=POST",
            "valid_until=1799999999",
            "method=",
            "path_prefix=/v1/../x",
        ] {
            assert!(check(&sold, added).is_err(), "{added}");
        }
    }
}
