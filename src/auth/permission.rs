//! Which roles may do what: one table over all operations of the interface. A test holds it against the OpenAPI document.

use api::access::Role;

/// What an operation needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permission {
    /// Nothing: whoever reaches the port.
    Open,
    /// To be somebody.
    Read,
    /// To see what is reserved; of one's tenant, if one has one.
    See,
    /// To see what is of all tenants: nothing for the tokens of one.
    SeeAll,
    /// To report as an aggregator.
    Report,
    /// To ask for allocations.
    Request,
    /// To change the network.
    Operate,
    /// To say who may do what.
    Administer,
}

impl Permission {
    /// The roles that have it. [`Permission::Open`] is no matter of roles.
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::Open | Self::Read => Role::ALL,
            Self::See => &[Role::Viewer, Role::Requester, Role::Engineer, Role::Admin],
            Self::SeeAll => Role::ALL,
            Self::Report => &[Role::Aggregator, Role::Engineer, Role::Admin],
            Self::Request => &[Role::Requester, Role::Engineer, Role::Admin],
            Self::Operate => &[Role::Engineer, Role::Admin],
            Self::Administer => &[Role::Admin],
        }
    }
}

/// Every operation of the interface with what it needs.
pub const OPERATIONS: &[(&str, Permission)] = &[
    ("topology_list", Permission::Read),
    ("topology_get", Permission::Read),
    ("topology_put", Permission::Operate),
    ("topology_delete", Permission::Operate),
    ("topology_layout", Permission::Read),
    ("link_list", Permission::See),
    ("link_get", Permission::See),
    ("link_history", Permission::See),
    ("topology_history", Permission::See),
    ("link_change", Permission::Operate),
    ("maintenance_list", Permission::Read),
    ("maintenance_get", Permission::See),
    ("maintenance_create", Permission::Operate),
    ("maintenance_delete", Permission::Operate),
    ("model_get", Permission::Read),
    ("model_put", Permission::Operate),
    ("path_compute", Permission::See),
    ("headroom_get", Permission::See),
    ("availability_create", Permission::See),
    ("failure_study_create", Permission::Operate),
    ("optimization_list", Permission::Operate),
    ("optimization_create", Permission::Operate),
    ("optimization_get", Permission::Operate),
    ("optimization_apply", Permission::Operate),
    ("allocation_list", Permission::See),
    ("allocation_create", Permission::Request),
    ("allocation_batch", Permission::Request),
    ("allocation_get", Permission::See),
    ("allocation_update", Permission::Request),
    ("allocation_release", Permission::Request),
    ("allocation_commit", Permission::Request),
    ("tenant_list", Permission::See),
    ("tenant_get", Permission::See),
    ("tenant_put", Permission::Administer),
    ("tenant_delete", Permission::Administer),
    ("aggregator_list", Permission::SeeAll),
    ("aggregator_get", Permission::SeeAll),
    ("aggregator_report", Permission::Report),
    ("aggregator_rates", Permission::SeeAll),
    ("aggregator_history", Permission::SeeAll),
    ("aggregator_rates_stream", Permission::SeeAll),
    ("content_list", Permission::SeeAll),
    ("controller_list", Permission::SeeAll),
    ("controller_get", Permission::SeeAll),
    ("controller_put", Permission::Operate),
    ("controller_delete", Permission::Operate),
    ("controller_survey", Permission::Operate),
    // Addresses, users and what is retained are not for everybody.
    ("broker_client_list", Permission::Operate),
    ("broker_session_get", Permission::Operate),
    ("broker_session_end", Permission::Operate),
    ("broker_retained_list", Permission::Operate),
    ("broker_retained_clear", Permission::Operate),
    ("event_list", Permission::See),
    ("event_stream", Permission::See),
    ("token_list", Permission::Administer),
    ("token_create", Permission::Administer),
    ("token_revoke", Permission::Administer),
    ("sign_in_get", Permission::Open),
    ("session_get", Permission::Read),
    ("session_begin", Permission::Read),
    ("session_end", Permission::Open),
    ("livez", Permission::Open),
    ("readyz", Permission::Open),
];

/// What an operation needs; one that is not in the table needs the most.
pub fn needed(operation: &str) -> Permission {
    let found = OPERATIONS.iter().find(|(name, _)| *name == operation);
    found.map_or(Permission::Administer, |(_, permission)| *permission)
}
