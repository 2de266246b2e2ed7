//! The packet with which DDS announces this program to all others of the domain (SPDP), as it is on the wire.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Group and first port of discovery (RTPS 9.6.2.4).
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 0, 1);
const PORT: u16 = 7400;
/// Entity id of the writer that announces a participant.
const WRITER: [u8; 4] = [0, 1, 0, 0xc2];
/// Longer packets are no announcements.
const MAX_BYTES: usize = 2048;
/// Packets of others that are passed over in one look.
const MOST: usize = 256;

/// Where participants are announced.
pub fn group(domain: u16) -> SocketAddrV4 {
    SocketAddrV4::new(GROUP, PORT + 250 * domain)
}

/// Listens for the announcement of this program, until it was heard once.
pub struct Announcement {
    socket: Option<UdpSocket>,
    /// The first bytes of the writer's GUID are those of the program.
    prefix: [u8; 12],
    packet: Vec<u8>,
}

impl Announcement {
    /// Of the participant with this GUID prefix. Where the group cannot be joined, nothing is heard.
    pub fn listen(domain: u16, source: Option<IpAddr>, prefix: [u8; 12]) -> Self {
        Self {
            socket: join(domain, source).ok(),
            prefix,
            packet: Vec::new(),
        }
    }

    /// The packet; empty before it was heard.
    pub fn packet(&mut self) -> &[u8] {
        let mut bytes = [0; MAX_BYTES];
        for _ in 0..MOST {
            let Some(Ok(length)) = self.socket.as_ref().map(|socket| socket.recv(&mut bytes))
            else {
                break;
            };
            // One that fills the buffer may be cut off.
            if length < MAX_BYTES && is_announcement(&bytes[..length], &self.prefix) {
                self.packet = bytes[..length].to_vec();
                self.socket = None;
            }
        }
        &self.packet
    }
}

/// Whether an RTPS message of this participant announces it.
pub fn is_announcement(packet: &[u8], prefix: &[u8; 12]) -> bool {
    packet.starts_with(b"RTPS")
        && packet.get(8..20) == Some(prefix)
        && packet.windows(4).any(|bytes| bytes == WRITER)
}

fn join(domain: u16, source: Option<IpAddr>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.bind(&group(domain).into())?;
    let interface = match source {
        Some(IpAddr::V4(source)) => source,
        _ => Ipv4Addr::UNSPECIFIED,
    };
    socket.join_multicast_v4(&GROUP, &interface)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_announcement_of_this_program_is_one() {
        let message = |prefix: [u8; 12], writer: [u8; 4]| {
            let header = b"RTPS\x02\x04\x01\x12";
            let data = [0x15, 5, 24, 0, 0, 0, 16, 0, 0, 1, 0, 0xc7];
            [header.as_slice(), &prefix, &data, &writer, &[0, 0, 0, 0]].concat()
        };
        let found = |packet: &[u8]| is_announcement(packet, &[7; 12]);
        assert!(found(&message([7; 12], WRITER)));
        assert!(!found(&message([8; 12], WRITER)));
        assert!(!found(&message([7; 12], [0, 0, 3, 0xc2])));
        assert!(!found(b"RTPS"));
        assert_eq!(group(2), SocketAddrV4::new(GROUP, 7900));
    }
}
