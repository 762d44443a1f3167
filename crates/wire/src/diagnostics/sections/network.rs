//! Links, addresses, routes, neighbours, name servers, proxies, wireless.

use crate::schema;

schema! {
    /// Links, addresses, routes, neighbours, name servers, proxies, wireless.
    #[derive(Default)]
    pub struct Network {
    }
}
