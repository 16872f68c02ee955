//! How many requests a second of a tenant are answered. Each replica counts for itself.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::app::App;
use kernel::id::{Name, Sequence};

/// The limiters of tenants that have a limit, each as it was when the tenant was last changed.
#[derive(Clone, Default)]
pub(super) struct RequestRates(Arc<Mutex<BTreeMap<Name, TenantLimiter>>>);

/// A limiter, and the event that gave the tenant its limit.
type TenantLimiter = (Sequence, Arc<DefaultDirectRateLimiter>);

impl RequestRates {
    /// Whether a tenant may have one more request answered now.
    pub(super) fn admit(&self, app: &App, tenant: &Name) -> bool {
        let limit = app.read(|state| {
            let tenant = state.tenant(tenant.as_str())?;
            Some((tenant.revision, tenant.terms.requests_max_per_s?))
        });
        limit.is_none_or(|(revision, per_s)| self.limiter(app, tenant, revision, per_s).check().is_ok())
    }

    fn limiter(
        &self,
        app: &App,
        tenant: &Name,
        revision: Sequence,
        per_s: NonZeroU32,
    ) -> Arc<DefaultDirectRateLimiter> {
        let mut limiters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match limiters.get(tenant) {
            Some((as_of, limiter)) if *as_of == revision => Arc::clone(limiter),
            _ => {
                // Tenants come and go; there are no more limiters than tenants.
                app.read(|state| limiters.retain(|name, _| state.tenant(name.as_str()).is_some()));
                let limiter = Arc::new(RateLimiter::direct(Quota::per_second(per_s)));
                limiters.insert(tenant.clone(), (revision, Arc::clone(&limiter)));
                limiter
            }
        }
    }
}
