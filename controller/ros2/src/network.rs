//! A ROS 2 node on one network interface.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use ros2_client::{
    Context, Name, Node, NodeName, NodeOptions, Publisher, QosProfile, Subscription,
    dds::rustdds::{DomainParticipant, DomainParticipantBuilder},
    qos::{Durability, History, WhenFull},
};

use crate::messages::Message;

/// Highest domain whose ports exist.
const MAX_DOMAIN: u16 = 232;

/// The network of the robot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// DDS domain, `ROS_DOMAIN_ID` elsewhere.
    pub domain: u16,
    /// Network interface, e.g. `eth0`; none for all.
    pub interface: Option<String>,
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let interface = self.interface.as_deref().unwrap_or("all interfaces");
        write!(f, "domain {} on {interface}", self.domain)
    }
}

impl Network {
    /// Checks what can be checked without DDS. Gives the addresses of the interface; none for all interfaces.
    ///
    /// # Errors
    /// When the interface, the domain or the port cannot be used.
    pub(crate) fn check(&self) -> Result<Vec<IpAddr>, NetworkError> {
        if self.domain > MAX_DOMAIN {
            return Err(NetworkError::Domain(self.domain));
        }
        let addresses = match &self.interface {
            Some(interface) => addresses(interface)?,
            None => Vec::new(),
        };
        check_discovery_port(self.domain)?;
        Ok(addresses)
    }
}

/// Why the network cannot be joined.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// There is no interface of this name.
    #[error("there is no network interface `{name}`, this machine has {known}")]
    UnknownInterface {
        /// The name asked for.
        name: String,
        /// The interfaces of this machine.
        known: String,
    },
    /// The interface has no IPv4 address.
    #[error(
        "network interface `{0}` has no IPv4 address: give it one in the robot's network, e.g. 192.168.123.99/24"
    )]
    NoAddress(String),
    /// The domain is too high.
    #[error("domain {0} does not exist, take 0 to {MAX_DOMAIN}")]
    Domain(u16),
    /// Another program owns the discovery port.
    #[error(
        "UDP port {port}, on which domain {domain} is discovered, cannot be shared: {source}; end the program that holds it, or take another domain"
    )]
    Port {
        /// The port.
        port: u16,
        /// Its domain.
        domain: u16,
        /// The reason of the system.
        source: std::io::Error,
    },
    /// DDS refused.
    #[error("DDS, {network}: cannot create {what}: {reason}")]
    Dds {
        /// The network.
        network: Network,
        /// What was to be created.
        what: String,
        /// The reason of the library.
        reason: String,
    },
    /// The process that runs DDS says why.
    #[error("{0}")]
    Process(String),
}

impl NetworkError {
    /// The process that runs DDS does not run, or does not answer.
    pub(crate) fn process(reason: impl std::fmt::Display) -> Self {
        Self::Process(format!(
            "the process that runs DDS does not start: {reason}"
        ))
    }
}

/// How messages of a topic are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Best effort, keeps the newest: sensors and motor commands. A subscription matches every publisher.
    Newest,
    /// Reliable, keeps a few: requests and status. A subscription matches reliable publishers only.
    Reliable,
    /// Reliable, and the last one is sent to subscribers that come later: descriptions.
    Kept,
}

impl Delivery {
    fn qos(self) -> QosProfile {
        match self {
            Self::Newest => {
                QosProfile::subscription_default().history(History::KeepLast { depth: 4 })
            }
            // A publisher never waits for a slow subscriber.
            Self::Reliable => QosProfile::publisher_default()
                .reliability_reliable(WhenFull::Fail)
                .history(History::KeepLast { depth: 16 }),
            Self::Kept => QosProfile::publisher_default()
                .reliability_reliable(WhenFull::Fail)
                .durability(Durability::TransientLocal)
                .history(History::KeepLast { depth: 1 }),
        }
    }
}

/// A node, with its publishers and subscriptions.
pub struct Ros {
    network: Network,
    context: Context,
    node: Node,
    source: Option<IpAddr>,
}

impl Ros {
    /// Joins a domain. The threads of DDS inherit the scheduling of the calling thread.
    ///
    /// # Errors
    /// When the interface, the domain or the port cannot be used.
    pub fn open(network: &Network, name: &str) -> Result<Self, NetworkError> {
        let addresses = network.check()?;
        let source = addresses.first().copied();
        let mut builder = DomainParticipantBuilder::new(network.domain);
        if !addresses.is_empty() {
            builder = builder.with_only_networks(addresses);
        }
        let failed = |what: &str, reason: String| NetworkError::Dds {
            network: network.clone(),
            what: what.to_owned(),
            reason,
        };
        let participant = builder
            .build()
            .map_err(|error| failed("a participant", error.to_string()))?;
        let context = Context::from_domain_participant(participant)
            .map_err(|error| failed("a context", error.to_string()))?;
        let node_name =
            NodeName::new("/", name).map_err(|error| failed("a node", format!("{error:?}")))?;
        let options = NodeOptions::new()
            .enable_rosout(false)
            .start_parameter_services(false);
        let node = context
            .new_node(node_name, options)
            .map_err(|error| failed("a node", format!("{error:?}")))?;
        Ok(Self {
            network: network.clone(),
            context,
            node,
            source,
        })
    }

    /// Publishes on `topic`, e.g. `lowcmd`, which is `rt/lowcmd` for peers without ROS.
    ///
    /// # Errors
    /// When DDS refuses.
    pub fn publish<M: Message>(
        &mut self,
        topic: &str,
        delivery: Delivery,
    ) -> Result<Publisher<M>, NetworkError> {
        let qos = delivery.qos();
        let created = self.topic::<M>(topic, &qos);
        created.and_then(|dds_topic| {
            let publisher = self.node.create_publisher(&dds_topic, None);
            publisher.map_err(|error| self.error("the publisher of", topic, &error))
        })
    }

    /// Subscribes to `topic`.
    ///
    /// # Errors
    /// When DDS refuses.
    pub fn subscribe<M: Message>(
        &mut self,
        topic: &str,
        delivery: Delivery,
    ) -> Result<Subscription<M>, NetworkError> {
        let qos = delivery.qos();
        let created = self.topic::<M>(topic, &qos);
        created.and_then(|dds_topic| {
            let subscription = self.node.create_subscription(&dds_topic, None);
            subscription.map_err(|error| self.error("the subscription to", topic, &error))
        })
    }

    /// First address of the interface; none where all interfaces are used.
    pub(crate) fn source(&self) -> Option<IpAddr> {
        self.source
    }

    /// Unicast and multicast addresses of each reader of `topic` that is known now and has the type `type_name`.
    pub(crate) fn readers(
        &self,
        topic: &str,
        type_name: &str,
    ) -> impl Iterator<Item = (Vec<SocketAddrV4>, Vec<SocketAddrV4>)> {
        let readers = self.participant().discovered_readers();
        let wanted = readers.into_iter().filter(move |reader| {
            let data = &reader.subscription_topic_data;
            data.topic_name().strip_prefix("rt/") == Some(topic) && data.type_name() == type_name
        });
        wanted.map(move |reader| {
            let proxy = reader.reader_proxy;
            (
                ipv4(proxy.unicast_locator_list),
                ipv4(proxy.multicast_locator_list),
            )
        })
    }

    /// The DDS participant of the node.
    pub fn participant(&self) -> DomainParticipant {
        self.context.domain_participant()
    }

    fn topic<M: Message>(
        &self,
        topic: &str,
        qos: &QosProfile,
    ) -> Result<ros2_client::dds::rustdds::Topic, NetworkError> {
        let relative = topic.trim_start_matches('/');
        let (namespace, base) = relative.rsplit_once('/').unwrap_or(("", relative));
        let name = Name::new(&format!("/{namespace}"), base)
            .map_err(|error| self.error("the name of", topic, &error))?;
        self.node
            .create_topic(&name, M::type_name(), qos)
            .map_err(|error| self.error("topic", topic, &error))
    }

    fn error(&self, what: &str, topic: &str, reason: &dyn std::fmt::Debug) -> NetworkError {
        NetworkError::Dds {
            network: self.network.clone(),
            what: format!("{what} `{topic}`"),
            reason: format!("{reason:?}"),
        }
    }
}

/// The IPv4 addresses among locators.
fn ipv4(locators: Vec<impl Into<SocketAddr>>) -> Vec<SocketAddrV4> {
    let addresses = locators.into_iter().map(Into::into);
    let ipv4 = addresses.filter_map(|address| match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    });
    ipv4.collect()
}

/// IPv4 addresses of an interface.
fn addresses(name: &str) -> Result<Vec<IpAddr>, NetworkError> {
    let interfaces = netdev::get_interfaces();
    let Some(interface) = interfaces.iter().find(|interface| interface.name == name) else {
        let mut names: Vec<&str> = interfaces.iter().map(|i| i.name.as_str()).collect();
        names.sort_unstable();
        return Err(NetworkError::UnknownInterface {
            name: name.to_owned(),
            known: names.join(", "),
        });
    };
    let addresses: Vec<IpAddr> = interface.ipv4.iter().map(|net| net.addr().into()).collect();
    if addresses.is_empty() {
        return Err(NetworkError::NoAddress(name.to_owned()));
    }
    Ok(addresses)
}

/// Checks the port that all participants of a domain share. The DDS library only logs a failure to bind it.
fn check_discovery_port(domain: u16) -> Result<(), NetworkError> {
    use socket2::{Domain, Protocol, Socket, Type};
    let port = 7400 + 250 * domain;
    let bind = || {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())
    };
    bind().map_err(|source| NetworkError::Port {
        port,
        domain,
        source,
    })
}

/// Longest wait of a thread that has to give a heartbeat.
pub(crate) const POLL: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[track_caller]
    fn refused(domain: u16, interface: Option<&str>) -> String {
        let network = Network {
            domain,
            interface: interface.map(str::to_owned),
        };
        let Err(error) = Ros::open(&network, "test") else {
            panic!("{network} was accepted")
        };
        error.to_string()
    }

    #[test]
    fn an_unknown_interface_and_a_domain_without_ports_are_named() {
        let text = refused(0, Some("wlan99"));
        assert!(
            text.starts_with("there is no network interface `wlan99`, this machine has ")
                && text.contains("lo"),
            "{text}"
        );
        assert_eq!(
            refused(233, None),
            "domain 233 does not exist, take 0 to 232"
        );
    }

    #[test]
    fn a_port_that_another_program_owns_is_named() {
        // Domain 229: no other test uses it.
        let port = 7400 + 250 * 229;
        let _taken = UdpSocket::bind(("0.0.0.0", port)).unwrap();
        let text = refused(229, Some("lo"));
        assert!(
            text.starts_with("UDP port 64650, on which domain 229"),
            "{text}"
        );
    }
}
