//! Requests to the service that owns the joints until it releases them.

use super::message;

message! {
    #[derive(Copy)]
    "unitree_api" "RequestIdentity" RequestIdentity {
        id: i64,
        api_id: i64,
    }
    #[derive(Copy)]
    "unitree_api" "RequestLease" RequestLease {
        id: i64,
    }
    #[derive(Copy)]
    "unitree_api" "RequestPolicy" RequestPolicy {
        priority: i32,
        noreply: bool,
    }
    #[derive(Copy)]
    "unitree_api" "RequestHeader" RequestHeader {
        identity: RequestIdentity,
        lease: RequestLease,
        policy: RequestPolicy,
    }
    "unitree_api" "Request" Request {
        header: RequestHeader,
        parameter: String,
        binary: Vec<u8>,
    }
    #[derive(Copy)]
    "unitree_api" "ResponseStatus" ResponseStatus {
        code: i32,
    }
    #[derive(Copy)]
    "unitree_api" "ResponseHeader" ResponseHeader {
        identity: RequestIdentity,
        status: ResponseStatus,
    }
    "unitree_api" "Response" Response {
        header: ResponseHeader,
        data: String,
        binary: Vec<i8>,
    }
}

impl Request {
    /// Asks which mode owns the joints; the answer is JSON like `{"form":"0","name":"normal"}`, without name when none does.
    pub const CHECK_MODE: i64 = 1001;
    /// Asks the mode that owns the joints to release them.
    pub const RELEASE_MODE: i64 = 1003;

    /// A request without parameters.
    pub fn new(id: i64, api_id: i64) -> Self {
        Self {
            header: RequestHeader {
                identity: RequestIdentity { id, api_id },
                lease: RequestLease { id: 0 },
                policy: RequestPolicy {
                    priority: 0,
                    noreply: false,
                },
            },
            parameter: String::new(),
            binary: Vec::new(),
        }
    }
}

impl Response {
    /// The answer to a request.
    pub fn new(request: &Request, code: i32, data: &str) -> Self {
        Self {
            header: ResponseHeader {
                identity: request.header.identity,
                status: ResponseStatus { code },
            },
            data: data.to_owned(),
            binary: Vec::new(),
        }
    }
}
