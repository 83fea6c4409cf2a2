//! The API of the operator as it stands in Kubernetes: kinds, fields, rules, and the CRDs made from them.
//!
//! May import `types` and nothing else of this package.

pub mod crd;
pub mod http_route;
pub mod objects;
pub mod v1alpha1;
