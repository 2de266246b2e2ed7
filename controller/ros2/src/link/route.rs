//! Where the samples of a writer go.

use std::net::SocketAddr;

use arrayvec::ArrayVec;

use super::rtps::Guid;
use crate::network::Ros;

/// Most addresses that samples are sent to.
const MAX_ADDRESSES: usize = 16;
/// Most addresses of one reader that are used.
const MAX_PER_READER: usize = 4;

/// A writer, and the addresses of its readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The writer, which the DDS library announces.
    pub writer: Guid,
    /// Where its readers listen.
    pub addresses: ArrayVec<SocketAddr, MAX_ADDRESSES>,
}

impl Route {
    /// To the readers of `topic` that are known now.
    pub fn discover(ros: &Ros, writer: Guid, topic: &str) -> Self {
        let mut addresses = ArrayVec::new();
        for reader in ros.readers_of(topic) {
            // Multicast only where there is nothing else.
            let locators = match reader.unicast_locator_list.is_empty() {
                true => reader.multicast_locator_list,
                false => reader.unicast_locator_list,
            };
            let usable = (locators.into_iter().map(SocketAddr::from))
                .filter(|address| address.is_ipv4() && address.port() > 0);
            for address in usable.take(MAX_PER_READER) {
                if !addresses.contains(&address) {
                    // Readers beyond the capacity are not those of the robot.
                    let _ = addresses.try_push(address);
                }
            }
        }
        Self { writer, addresses }
    }
}
