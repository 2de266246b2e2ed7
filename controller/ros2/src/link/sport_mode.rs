//! Release of the joints by the robot's own sport mode, which would command them as well.

use super::dds::endpoints::{Endpoints, Publisher, Subscription};
use crate::{
    clock::wall_ns,
    foreign_text::shown,
    messages::{Request, Response},
    network::Delivery,
};

/// Topic of requests to the motion switcher.
pub const REQUEST_TOPIC: &str = "api/motion_switcher/request";
/// Topic of its answers.
pub const RESPONSE_TOPIC: &str = "api/motion_switcher/response";

/// Time between two requests, ns.
const REPEAT_NS: u64 = 500_000_000;
/// Without an answer for this long a notice is given, ns.
const SILENT_NS: u64 = 3_000_000_000;

/// Bytes of an answer.
const LONGEST_ANSWER: usize = 1000;
/// Requests that wait for an answer.
const ASKED: usize = 4;

/// Asks the motion switcher until no mode owns the joints.
pub struct SportMode {
    requests: Publisher<Request>,
    responses: Subscription<Response>,
    last_id: i64,
    /// Number and kind of the last requests, the only ones whose answers count.
    asked: [(i64, i64); ASKED],
    asked_ns: u64,
    first_ns: u64,
    answered: bool,
}

impl SportMode {
    pub fn new(endpoints: &mut Endpoints) -> Self {
        Self {
            requests: endpoints.publish(REQUEST_TOPIC, Delivery::Reliable),
            responses: endpoints.subscribe(RESPONSE_TOPIC, Delivery::Reliable),
            // Nobody guesses the next one.
            last_id: (wall_ns() >> 10) as i64,
            asked: [(0, 0); ASKED],
            asked_ns: 0,
            first_ns: 0,
            answered: false,
        }
    }

    /// Starts from the beginning: the robot may have restarted, and its sport mode with it.
    pub fn start_again(&mut self) {
        while self.responses.take().is_some() {}
        (self.asked_ns, self.first_ns) = (0, 0);
        self.answered = false;
        self.asked = [(0, 0); ASKED];
    }

    /// Handles the answers, and repeats the request when it is time. True once no mode owns the joints.
    pub fn poll(&mut self, now_ns: u64, notice: &mut dyn FnMut(String)) -> bool {
        while let Some(response) = self.responses.take() {
            let header = response.header;
            // Answers to requests of others, and answers to nothing.
            if !self
                .asked
                .contains(&(header.identity.id, header.identity.api_id))
            {
                continue;
            }
            self.answered = true;
            match (header.identity.api_id, header.status.code) {
                (Request::CHECK_MODE, 0) => match mode_name(&response.data) {
                    Some("") => return true,
                    Some(name) => {
                        notice(format!(
                            "mode `{}` of the robot owns the joints: asking it to release them",
                            shown(name)
                        ));
                        self.send(Request::RELEASE_MODE);
                    }
                    None => notice(format!(
                        "the motion switcher answered `{}`, which names no mode",
                        shown(&response.data)
                    )),
                },
                (_, 0) => {}
                (api, code) => notice(format!(
                    "the motion switcher refused request {api} with code {code}"
                )),
            }
        }
        if self.first_ns == 0 {
            self.first_ns = now_ns;
        }
        if !self.answered && now_ns.saturating_sub(self.first_ns) > SILENT_NS {
            notice(
                "no motion switcher answers: the robot is not there, or its sport mode cannot be released; nothing is sent to the motors. On a simulator without one, set ros2.release_sport_mode=false".to_owned(),
            );
        }
        if now_ns.saturating_sub(self.asked_ns) > REPEAT_NS {
            self.asked_ns = now_ns;
            self.send(Request::CHECK_MODE);
        }
        false
    }

    fn send(&mut self, api_id: i64) {
        self.last_id += 1;
        self.asked[(self.last_id % ASKED as i64) as usize] = (self.last_id, api_id);
        // A lost request is repeated.
        self.requests.publish(&Request::new(self.last_id, api_id));
    }
}

/// The `name` in an answer like `{"form":"0","name":"normal"}`. None of anything that does not look like one: it would count
/// as a release.
fn mode_name(data: &str) -> Option<&str> {
    let data = data.trim();
    let is_object = data.starts_with('{') && data.ends_with('}') && data.len() < LONGEST_ANSWER;
    let (_, after) = is_object.then_some(data)?.split_once("\"name\"")?;
    let value = after.trim_start().strip_prefix(':')?.trim_start();
    value.strip_prefix('"')?.split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_mode_is_found_in_the_answer() {
        assert_eq!(mode_name(r#"{"form":"0","name":"normal"}"#), Some("normal"));
        assert_eq!(mode_name(r#"{ "name" : "" , "form":"0"}"#), Some(""));
        assert_eq!(mode_name(r#"{"form":"0"}"#), None);
        assert_eq!(mode_name(""), None);
        assert_eq!(mode_name(r#"{"name":0}"#), None);
        assert_eq!(mode_name(r#"{"name":"""#), None, "cut off");
        assert_eq!(mode_name(r#""name":"""#), None);
    }
}
