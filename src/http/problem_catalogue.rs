//! The kinds of problems: one table, from which the answers take status and title, and the pages under `/problems/` their
//! text. What must stay true: a kind keeps its slug and its status.

use axum::http::StatusCode;

/// A kind of problem.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct ProblemKind {
    /// The last part of its type.
    pub(super) slug: &'static str,
    /// With which status it is answered.
    pub(super) status: StatusCode,
    /// What it is, whatever the occasion.
    pub(super) title: &'static str,
    /// What happened, at more length.
    pub(super) meaning: &'static str,
    /// What a client can do about it.
    pub(super) remedy: &'static str,
}

impl ProblemKind {
    /// Whether trying again as it is may help.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
    }

    /// By its slug.
    pub(super) fn of_slug(slug: &str) -> Option<&'static Self> {
        ALL.iter().copied().find(|kind| kind.slug == slug)
    }
}

macro_rules! kinds {
    ($($name:ident $status:ident $slug:literal $title:literal; $meaning:literal; $remedy:literal;)*) => {
        $(
            pub(super) static $name: ProblemKind = ProblemKind {
                slug: $slug,
                status: StatusCode::$status,
                title: $title,
                meaning: $meaning,
                remedy: $remedy,
            };
        )*
        /// Every kind.
        pub(super) static ALL: &[&ProblemKind] = &[$(&$name),*];
    };
}

kinds! {
    MALFORMED_BODY BAD_REQUEST "malformed-body" "The body cannot be read";
        "The body is not JSON, has a member that is not known, lacks one that is needed, or has one of the wrong type.";
        "Look at line and column. Unknown members are refused so that a misspelt one is noticed.";
    MALFORMED_QUERY BAD_REQUEST "malformed-query" "The query cannot be read";
        "A query parameter is not known, is there twice, or has a value that it cannot have.";
        "Compare the query with the operation's parameters. Cursors are to be used as they were given.";
    MALFORMED_PATH BAD_REQUEST "malformed-path" "The path cannot be read";
        "A name or an id in the path is not one: names have 1 to 255 bytes and no control characters, ids are numbers, ids of aggregators have none of / + # $.";
        "Percent-encode names as UTF-8.";
    MALFORMED_HEADER BAD_REQUEST "malformed-header" "A header cannot be read";
        "If-Match is not one entity tag or *, Idempotency-Key is not 1 to 255 visible ASCII characters, or Last-Event-ID is not a number.";
        "Send back an ETag exactly as it was answered, with its quotation marks.";
    UNREADABLE_TOPOLOGY BAD_REQUEST "unreadable-topology" "The topology cannot be read";
        "The file is not in the format that it was taken for, or is not a valid topology.";
        "Look at line, column and element. If the format was recognised wrongly, name it: ?format=graphml. If the file holds several networks, choose one: ?network=NAME.";
    UNAUTHENTICATED UNAUTHORIZED "unauthenticated" "A token is needed";
        "The service asks who one is, and the request has no token, or one that is unknown, expired or revoked.";
        "Send Authorization: Bearer and a token. Whoever runs the service makes one with watermaster token create.";
    ROLE_NEEDED FORBIDDEN "role-needed" "The token is not for this";
        "The role of the token does not allow the operation. roles lists those that do.";
        "Use a token of one of the roles.";
    NOT_YOURS FORBIDDEN "not-yours" "It belongs to somebody else";
        "The token is for one tenant or one aggregator, and the request is about another.";
        "Use a token that is for it.";
    FOREIGN_ORIGIN FORBIDDEN "foreign-origin" "A page of another site may not change anything";
        "The request changes something and comes from a web page of another site (its Origin is not this Host).";
        "Use a page that this server serves, or a client that is not a web page.";
    UNKNOWN_HOST MISDIRECTED_REQUEST "unknown-host" "This service does not answer for that host";
        "The request names a host that is not one of this service's: another name leads to this machine, perhaps on purpose (DNS rebinding).";
        "Use the address that the service printed, or tell it the name: --public-host NAME.";
    NOT_FOUND NOT_FOUND "not-found" "There is nothing here";
        "No resource has this path.";
        "Compare the path with the document at /v1/openapi.json.";
    UNKNOWN_TOPOLOGY NOT_FOUND "unknown-topology" "There is no such topology";
        "No topology has the name in the path.";
        "List them: GET /v1/topologies. Names tell upper from lower case.";
    UNKNOWN_LINK NOT_FOUND "unknown-link" "There is no such link";
        "The topology has no link of the name in the path. Links are directed: each direction has a name of its own.";
        "List them: GET /v1/topologies/{topology}/links.";
    UNKNOWN_ALLOCATION NOT_FOUND "unknown-allocation" "There is no such allocation";
        "No allocation has this id, neither living nor ended.";
        "Take ids from the answer to POST /v1/allocations, or list them.";
    UNKNOWN_CONTROLLER NOT_FOUND "unknown-controller" "There is no such controller";
        "No controller has this name.";
        "List them, or PUT one.";
    UNKNOWN_PLAN NOT_FOUND "unknown-plan" "There is no such plan";
        "No plan of this id is kept for this topology here: newer ones took its place, the service has started since, or another replica made it.";
        "Have a plan made again, or let it be applied at once.";
    UNKNOWN_AGGREGATOR NOT_FOUND "unknown-aggregator" "There is no such aggregator";
        "No aggregator of this id has reported lately. What aggregators report is not kept over a restart.";
        "List them: GET /v1/aggregators. An aggregator is known from its first report on.";
    UNKNOWN_SESSION NOT_FOUND "unknown-session" "There is no such session";
        "No MQTT client of this identifier has a session, or it is a client inside the service.";
        "List clients: GET /v1/broker/clients. Identifiers tell upper from lower case.";
    NOT_SAMPLED NOT_FOUND "not-sampled" "Nothing is known of that time";
        "Links were not sampled at the instant or before it, or those samples are not kept any more. first_at is the oldest instant of which there is one.";
        "Ask for an instant from first_at on. A new service samples its links on the next minute for the first time.";
    EVENTS_GONE GONE "events-gone" "Events after that one are not kept any more";
        "The service deletes events after a while, and the first ones after the number in the query are gone. first_sequence is the oldest that there is.";
        "Read what is now (allocations, topologies) and go on with after = first_sequence - 1.";
    METHOD_NOT_ALLOWED METHOD_NOT_ALLOWED "method-not-allowed" "The resource does not have this method";
        "The path is right, the method is not.";
        "The Allow header lists the methods that it has.";
    INSUFFICIENT_BANDWIDTH CONFLICT "insufficient-bandwidth" "No path has the bandwidth";
        "There are paths that obey the constraints, but none has the bandwidth that was asked for, even if every allocation were preempted or devolved that this class may preempt or devolve. binding_links says which links lack it, largest_admissible_bps what would have been admitted.";
        "Ask for less, in a better class, or with fewer constraints; or wait until other allocations have ended.";
    NO_PATH CONFLICT "no-path" "No path obeys the constraints";
        "Whatever the bandwidth, no path is left; constraint says which constraint took the last one away.";
        "Relax that constraint; least_hops and least_delay_us say by how much.";
    NO_BACKUP_PATH CONFLICT "no-backup-path" "There is a path, but no second one that does not share its fate";
        "Protection was asked for, and no two paths obey the constraints, have the bandwidth and share nothing that they must not share. binding_links says which links every path needs, or which lack the bandwidth on the best pair; largest_admissible_bps is what a pair would carry, 0 if the topology has no pair.";
        "Ask for less, for paths that may share more (disjoint), or for best_effort: then it is admitted on one path and gets a backup path when one can be had.";
    TOO_CONGESTED CONFLICT "too-congested" "The path would cost more than the policy pays";
        "There is room, but the network is so loaded that the policy (refuse_above_percent) keeps it for demands that need less of it.";
        "Wait, ask for less, or change the bandwidth model's policy.";
    TOPOLOGY_CONFLICT CONFLICT "topology-conflict" "Allocations do not fit the new revision";
        "The allocations listed in conflicts have no place in the new revision on the paths that they have.";
        "Upload with ?evict=true to have them rerouted (those without another path fail), or release them first.";
    TOPOLOGY_IN_USE CONFLICT "topology-in-use" "The topology carries allocations";
        "A topology can only be deleted when no allocation lives in it.";
        "Release its allocations first.";
    TOPOLOGY_CONTROLLED CONFLICT "topology-controlled" "The topology has another controller";
        "The switches of a topology are reached through one controller: two controllers on one switch would undo each other's work.";
        "Delete the controller that the member controller names, or change that one.";
    SWITCHES_SHARED CONFLICT "switches-shared" "Another controller has these switches";
        "Two controllers on one switch, or one controller for two topologies, would undo each other's work.";
        "Delete the controller that the member controller names, or take the switch out of one of the topologies.";
    SCHEDULED_ELSEWHERE SERVICE_UNAVAILABLE "scheduled-elsewhere" "Another instance takes reports in";
        "Of several instances of the service on one database one takes the reports of aggregators in and tells them their rates.";
        "Send reports to the instance that the member instance names, or to any when that one is gone.";
    NUMBERING_FIXED CONFLICT "numbering-fixed" "The numbers of a controller stay";
        "Rules and meters that were written with other numbers would be taken for another program's, and stay on the switches.";
        "Delete the controller, which removes its rules, and put it again.";
    CONTROLLER_UNAVAILABLE BAD_GATEWAY "controller-unavailable" "The controller does not answer as it should";
        "The controller cannot be reached, refuses, or gives an answer that is not valid. Nothing was changed.";
        "Look at GET /v1/controllers/{id}: its state and last error say more.";
    CLASSES_IN_USE CONFLICT "classes-in-use" "Allocations need classes that the new model does not have";
        "The living allocations listed in conflicts have a class type, or a priority in it, that the new bandwidth model lacks.";
        "Keep those classes, or release the allocations first.";
    ALREADY_ENDED CONFLICT "already-ended" "The allocation is over";
        "The allocation has ended, for the reason that state gives. What is over cannot be changed or released.";
        "Ask for a new one.";
    LIMIT_REACHED CONFLICT "limit-reached" "A limit of this service is reached";
        "There are as many topologies, living allocations or aggregators with their topics as this service takes.";
        "Delete or release what is not needed; scheduler.aggregators_max of the configuration says how many aggregators there may be.";
    REPORT_NOT_NEWER CONFLICT "report-not-newer" "The report is not newer than the last one";
        "A report with this or a later at was accepted already: this one is a repetition, or was overtaken. Nothing was changed.";
        "Give each report the time at which it was made, with milliseconds.";
    AGGREGATOR_ELSEWHERE CONFLICT "aggregator-elsewhere" "An aggregator of this id is at another node";
        "Reports under this id come from another node: there are two aggregators with one id. The one that reported first keeps it until its lease is over.";
        "Give each aggregator an id of its own.";
    AGGREGATOR_TAKEN CONFLICT "aggregator-taken" "Another instance reports under this id";
        "Reports under this id come from another process, which reported within its lease: there are two gateways with one id, or one was started again without a farewell. Nothing was changed.";
        "Give each aggregator an id of its own. One that was started again is taken when the lease of the one before is over, or at once after its farewell: a last report without an instance.";
    IDEMPOTENCY_IN_FLIGHT CONFLICT "idempotency-in-flight" "The first request with this key is still being answered";
        "Two requests with one Idempotency-Key arrived at once.";
        "Wait for the answer to the first, or repeat the request shortly.";
    PLAN_OUTDATED CONFLICT "plan-outdated" "The plan does not help any more";
        "The network has changed since the plan was made: the steps that are left would not make it better by the plan's objective, or would preempt allocations.";
        "Ask for another plan.";
    UNKNOWN_TENANT NOT_FOUND "unknown-tenant" "There is no such tenant";
        "No tenant has this name.";
        "GET /v1/tenants lists them.";
    UNKNOWN_MAINTENANCE NOT_FOUND "unknown-maintenance" "No such maintenance is planned";
        "No maintenance of this id is planned for the topology: it is over, or was called off.";
        "GET /v1/topologies/{topology}/maintenances lists what is planned.";
    TENANT_IN_USE CONFLICT "tenant-in-use" "The tenant has allocations";
        "A tenant that has living allocations is not forgotten.";
        "Release its allocations first.";
    QUOTA_EXCEEDED CONFLICT "quota-exceeded" "The tenant's quota is used up";
        "The request would take the tenant's allocations over one of its quotas. quota is the member that says so, held is what they take now, limit is the quota.";
        "Release something, ask for less, or have the quota raised with PUT /v1/tenants/{tenant}.";
    AGGREGATOR_HAS_TENANT CONFLICT "aggregator-has-tenant" "The aggregator is of another tenant";
        "An aggregator is of one tenant at most, and this one is of another. tenant is which.";
        "Take it out of the other tenant with PUT /v1/tenants/{tenant} first.";
    NOT_HELD CONFLICT "not-held" "The allocation is in force";
        "It was committed before, or was never held.";
        "Nothing is left to do.";
    PRECONDITION_FAILED PRECONDITION_FAILED "precondition-failed" "It is no longer what you read";
        "If-Match names a revision that is not the current one: it was changed since, or it is not there.";
        "Read it again, look at what changed, and repeat the change with the new ETag.";
    TOO_MANY_REQUESTS TOO_MANY_REQUESTS "too-many-requests" "Too many requests";
        "The tokens of the tenant have sent more requests a second than the tenant may.";
        "Repeat the request after the seconds that Retry-After gives.";
    BODY_TOO_SLOW REQUEST_TIMEOUT "body-too-slow" "The body did not come in time";
        "A body has a minute from its head to its end.";
        "Send the request again.";
    BODY_TOO_LARGE PAYLOAD_TOO_LARGE "body-too-large" "The body is too large";
        "Topologies may have 16 MiB, metadata of aggregators 256 KiB, all other bodies 1 MiB.";
        "Send less at once.";
    UNSUPPORTED_MEDIA_TYPE UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" "The body has to be JSON";
        "The Content-Type is neither application/json nor another +json type.";
        "Send Content-Type: application/json.";
    UNSUPPORTED_CODING UNSUPPORTED_MEDIA_TYPE "unsupported-coding" "The body is compressed in a way that is not read";
        "The Content-Encoding is neither gzip nor identity, or there are several.";
        "Send the body as it is, or with Content-Encoding: gzip. What it holds counts against the limit of bodies.";
    IMPOSSIBLE UNPROCESSABLE_ENTITY "impossible-request" "The request is well-formed but impossible";
        "A number is out of its range, members contradict each other, or the request could never be met. field says which.";
        "Correct the field.";
    UNKNOWN_REFERENCE UNPROCESSABLE_ENTITY "unknown-reference" "The body names what is not there";
        "A topology, node, link or class that the body names does not exist.";
        "Compare the names with GET /v1/topologies/{topology}.";
    MISSING_CAPACITY UNPROCESSABLE_ENTITY "missing-capacity" "A link has no capacity";
        "A link of the file has no capacity that can be read, and the upload asked to refuse such files.";
        "Give the capacity, or upload with on_missing_capacity=default or drop.";
    INVALID_MODEL UNPROCESSABLE_ENTITY "invalid-model" "The parts do not make a bandwidth model";
        "A share is out of range, a class is there twice, or the TE-classes do not match. field says where.";
        "Correct the field.";
    IDEMPOTENCY_MISMATCH UNPROCESSABLE_ENTITY "idempotency-mismatch" "The key stands for another request";
        "This Idempotency-Key was used in the last 24 hours for a request with another path or body.";
        "Use a new key for a new request; repeat a request byte for byte.";
    PRECONDITION_REQUIRED PRECONDITION_REQUIRED "precondition-required" "Say which revision you change";
        "A change to something that exists needs If-Match, so that no client undoes a change that it has not seen.";
        "Read it and send its ETag in If-Match, or * to change whatever is there.";
    INTERNAL INTERNAL_SERVER_ERROR "internal-error" "This server has a defect";
        "Something happened that should not. Nothing was changed.";
        "Report it with the X-Request-Id of the answer.";
    BUSY SERVICE_UNAVAILABLE "busy" "Too many requests are waiting";
        "The queue of requests to be decided is full. Nothing was changed.";
        "Repeat the request after the seconds that Retry-After gives.";
    STOPPING SERVICE_UNAVAILABLE "stopping" "The service is stopping";
        "The service is being stopped or restarted. Nothing was changed.";
        "Repeat the request shortly.";
    JOURNAL_UNAVAILABLE SERVICE_UNAVAILABLE "journal-unavailable" "The journal does not answer";
        "The database cannot be read or written. What could not be written down did not happen.";
        "Repeat the request shortly; if it persists, look at /readyz and at the service's log.";
    STORE_UNAVAILABLE SERVICE_UNAVAILABLE "store-unavailable" "The store of MQTT sessions does not answer";
        "Redis or the disk does not answer in time. What was asked for may have happened in part.";
        "Repeat the request; if it persists, look at the metric watermaster_mqtt_ready and at the service's log.";
    OUTCOME_UNKNOWN SERVICE_UNAVAILABLE "outcome-unknown" "It is not known whether this happened";
        "The connection to the database was lost while the decision was being written down, and the database could not be asked since. The change happened wholly or not at all.";
        "Repeat the request with its Idempotency-Key: it is answered with what happened, or done. Without a key, look once /readyz is well: list the allocations, or read what was to be changed.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_unique_and_every_kind_is_an_error() {
        for kind in ALL {
            assert_eq!(ProblemKind::of_slug(kind.slug), Some(*kind));
            assert!(kind.status.is_client_error() || kind.status.is_server_error());
        }
    }
}
