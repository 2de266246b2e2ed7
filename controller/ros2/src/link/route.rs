//! Where the samples of a writer go.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};

use super::{COMMAND_TOPIC, dds::announcement::group, rtps::Guid};
use crate::{
    messages::{LowCmd, Message as _},
    network::Ros,
};

/// Most addresses that samples are sent to.
const MAX_ADDRESSES: usize = 16;
/// Most addresses of one reader that are used.
const MAX_PER_READER: usize = 4;

/// The writer of the motor commands, and the addresses of its readers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The writer, which the DDS library announces.
    pub writer: Guid,
    /// Address of this computer that they are sent from; unspecified for any.
    pub source: Ipv4Addr,
    /// Where its readers listen.
    pub addresses: Vec<SocketAddrV4>,
    /// Where the program of the writer is announced.
    pub announced_to: SocketAddrV4,
    /// The packet that announces it; empty before it was seen on the wire.
    pub announcement: Vec<u8>,
}

impl Route {
    /// To the readers of motor commands that are known now. Those known before come first, so that others that announce
    /// themselves cannot push out the robot. When none is known any more, the former addresses are kept.
    pub fn discover(
        ros: &Ros,
        writer: Guid,
        announcement: &[u8],
        domain: u16,
        before: Option<&Self>,
    ) -> Self {
        let type_name = LowCmd::type_name().dds_msg_type();
        let mut found: Vec<SocketAddrV4> = Vec::new();
        for (unicast, multicast) in ros.readers(COMMAND_TOPIC, &type_name) {
            // Multicast only where there is nothing else.
            let locators = match unicast.is_empty() {
                true => multicast,
                false => unicast,
            };
            let usable = locators.into_iter().filter(|address| address.port() > 0);
            found.extend(usable.take(MAX_PER_READER));
        }
        let former = before.map_or(&[][..], |before| &before.addresses);
        let source = match ros.source() {
            Some(IpAddr::V4(source)) => source,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        Self {
            writer,
            source,
            addresses: merge(former, found),
            announced_to: group(domain),
            announcement: announcement.to_vec(),
        }
    }
}

/// The addresses of `found`, those of `former` first; all of `former` when nothing was found.
fn merge(former: &[SocketAddrV4], found: Vec<SocketAddrV4>) -> Vec<SocketAddrV4> {
    if found.is_empty() {
        return former.to_vec();
    }
    let mut addresses: Vec<_> = former.to_vec();
    addresses.retain(|address| found.contains(address));
    for address in found {
        if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(ports: impl IntoIterator<Item = u16>) -> Vec<SocketAddrV4> {
        let address = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        ports.into_iter().map(address).collect()
    }

    #[test]
    fn the_first_reader_keeps_its_place_and_is_kept_when_none_is_known() {
        let robot = addresses([7411]);
        let many = addresses((1..100).chain([7411]));
        let merged = merge(&robot, many);
        assert_eq!(merged.len(), MAX_ADDRESSES);
        assert_eq!(merged[0], robot[0]);
        assert_eq!(merge(&robot, vec![]), robot);
        assert_eq!(merge(&robot, addresses([7413, 7413])), addresses([7413]));
    }
}
