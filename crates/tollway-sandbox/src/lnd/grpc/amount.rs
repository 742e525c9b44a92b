//! Amounts in requests.
//!
//! LND's messages carry amounts twice, in satoshis and in millisatoshis, as signed numbers.

use l402::Msat;
use tollway_lightning::lnd::proto::lnrpc::FeeLimit;
use tollway_lightning::lnd::proto::lnrpc::fee_limit::Limit;

/// Why a pair of fields is not an amount.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum AmountError {
    /// Both fields are set.
    #[error("sat and msat arguments are mutually exclusive")]
    Both,
    /// Below zero.
    #[error("amount cannot be negative")]
    Negative,
    /// More than fits.
    #[error("amount of {sat} sat is too large")]
    TooLarge {
        /// The amount given.
        sat: u64,
    },
}

/// The amount given in one of two fields; zero when in neither.
pub(super) fn either(sat: i64, msat: i64) -> Result<Msat, AmountError> {
    if sat != 0 && msat != 0 {
        return Err(AmountError::Both);
    }
    let (Ok(sat), Ok(msat)) = (u64::try_from(sat), u64::try_from(msat)) else {
        return Err(AmountError::Negative);
    };
    match sat {
        0 => Ok(Msat::from_msat(msat)),
        sat => Msat::from_sat(sat).ok_or(AmountError::TooLarge { sat }),
    }
}

/// What routing may cost, as the older of LND's two payment calls takes it.
///
/// Without a limit it is LND's default: as much as the amount up to 1000 sat, 5 % above.
pub(super) fn fee_max(limit: Option<&FeeLimit>, amount: Msat) -> Result<Msat, AmountError> {
    match limit.and_then(|limit| limit.limit.as_ref()) {
        Some(Limit::Fixed(sat)) => either(*sat, 0),
        Some(Limit::FixedMsat(msat)) => either(0, *msat),
        Some(Limit::Percent(percent)) => {
            let percent = u64::try_from(*percent).map_err(|_below| AmountError::Negative)?;
            Ok(share(amount, percent))
        }
        None if amount <= FREELY_DOUBLED => Ok(amount),
        None => Ok(share(amount, DEFAULT_PERCENT)),
    }
}

/// Whole satoshis, the rest dropped: how LND fills the coarser of two fields.
pub(super) fn whole_sat(amount: Msat) -> u64 {
    amount.as_msat().div_euclid(1_000)
}

fn share(amount: Msat, percent: u64) -> Msat {
    let hundredfold = u128::from(amount.as_msat()).saturating_mul(u128::from(percent));
    Msat::from_msat(u64::try_from(hundredfold.div_euclid(100)).unwrap_or(u64::MAX))
}

const DEFAULT_PERCENT: u64 = 5;
const FREELY_DOUBLED: Msat = Msat::from_msat(1_000_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_field_is_an_amount_and_two_are_an_error() {
        assert_eq!(either(0, 0), Ok(Msat::ZERO));
        assert_eq!(either(2, 0), Ok(Msat::from_msat(2_000)));
        assert_eq!(either(0, 2), Ok(Msat::from_msat(2)));
        assert_eq!(either(1, 1), Err(AmountError::Both));
        assert_eq!(either(1, -1), Err(AmountError::Both));
        assert_eq!(either(-1, 0), Err(AmountError::Negative));
        assert_eq!(either(0, i64::MIN), Err(AmountError::Negative));
        let sat = u64::try_from(i64::MAX).unwrap();
        assert_eq!(either(i64::MAX, 0), Err(AmountError::TooLarge { sat }));
    }

    #[test]
    fn a_fee_limit_never_overflows_and_is_never_negative() {
        let fee = |limit| {
            fee_max(
                Some(&FeeLimit { limit: Some(limit) }),
                Msat::from_msat(10_000),
            )
        };
        assert_eq!(fee(Limit::Fixed(3)), Ok(Msat::from_msat(3_000)));
        assert_eq!(fee(Limit::FixedMsat(3)), Ok(Msat::from_msat(3)));
        assert_eq!(fee(Limit::Percent(15)), Ok(Msat::from_msat(1_500)));
        assert_eq!(fee(Limit::Percent(i64::MAX)), Ok(Msat::MAX));
        for negative in [Limit::Fixed(-1), Limit::FixedMsat(-1), Limit::Percent(-1)] {
            assert_eq!(fee(negative), Err(AmountError::Negative));
        }
    }

    #[test]
    fn without_a_fee_limit_it_is_lnds_default() {
        let fee = |sat| fee_max(None, Msat::from_sat(sat).unwrap());
        assert_eq!(fee(1_000), Ok(Msat::from_sat(1_000).unwrap()));
        assert_eq!(fee(1_001), Ok(Msat::from_msat(50_050)));
    }
}
