//! Publishers and subscriptions of the run, whose DDS side is in another process.
//!
//! Both processes make the same list of endpoints from the same settings. A message is told by the place of its endpoint
//! in the list.

use std::marker::PhantomData;

use crossbeam::channel::{Receiver, Sender, bounded};
use ros2_client::dds::rustdds::mio1::{Interest, Registry, Token};

use super::frames::Frame;
use crate::{
    foreign_text::shown,
    link::rtps::Guid,
    messages::Message,
    network::{Delivery, NetworkError, Ros},
};

/// Messages of one subscription that wait to be taken; more are dropped.
const WAITING: usize = 8;
/// Messages of all publishers that wait to be sent; more are dropped.
const OUTGOING: usize = 64;
/// Most messages of a topic that are handled in a row, so that no topic holds up the others.
const BURST: usize = 64;

/// The place of an endpoint in the list, and a message.
type Sample = (u8, Vec<u8>);
/// The publisher of a message, and the message.
type Received = (Guid, Vec<u8>);

/// A subscription to a topic.
#[derive(Debug)]
pub struct Subscription<M> {
    samples: Receiver<Received>,
    message: PhantomData<fn() -> M>,
}

impl<M: Message> Subscription<M> {
    /// The next message that has arrived.
    pub fn take(&self) -> Option<M> {
        self.take_from().map(|(message, _)| message)
    }

    /// The next message that has arrived, and the GUID of its publisher.
    pub fn take_from(&self) -> Option<(M, Guid)> {
        // The DDS process has read them, so all are well-formed.
        (self.samples.try_iter())
            .find_map(|(publisher, bytes)| Some((M::from_cdr(&bytes)?, publisher)))
    }
}

/// A publisher of a topic.
#[derive(Debug)]
pub struct Publisher<M> {
    index: u8,
    samples: Sender<Sample>,
    message: PhantomData<fn(&M)>,
}

impl<M: Message> Publisher<M> {
    /// Publishes soon. Never waits: a message is dropped when others wait to be sent.
    pub fn publish(&self, message: &M) {
        let _ = self.samples.try_send((self.index, message.to_cdr()));
    }
}

type OpenSource = fn(&mut Ros, &str, Delivery) -> Result<Box<dyn Source>, NetworkError>;
type OpenSink = fn(&mut Ros, &str, Delivery) -> Result<Box<dyn Sink>, NetworkError>;

#[derive(Clone, Copy)]
enum Open {
    Source(OpenSource),
    Sink(OpenSink),
}

struct Endpoint {
    topic: String,
    type_name: String,
    delivery: Delivery,
    open: Open,
    /// To its subscription.
    samples: Option<Sender<Received>>,
}

/// All endpoints of a run but motor commands and states.
pub struct Endpoints {
    list: Vec<Endpoint>,
    outgoing: (Sender<Sample>, Receiver<Sample>),
}

impl Endpoints {
    pub fn new() -> Self {
        Self {
            list: Vec::new(),
            outgoing: bounded(OUTGOING),
        }
    }

    /// Subscribes to `topic`.
    pub fn subscribe<M: Message>(&mut self, topic: &str, delivery: Delivery) -> Subscription<M> {
        let (sender, samples) = bounded(WAITING);
        let open: OpenSource = |ros, topic, delivery| {
            Ok(Box::new(TypedSource::<M> {
                topic: topic.to_owned(),
                subscription: ros.subscribe(topic, delivery)?,
            }))
        };
        self.add::<M>(topic, delivery, Open::Source(open), Some(sender));
        Subscription {
            samples,
            message: PhantomData,
        }
    }

    /// Publishes on `topic`.
    pub fn publish<M: Message>(&mut self, topic: &str, delivery: Delivery) -> Publisher<M> {
        let open: OpenSink =
            |ros, topic, delivery| Ok(Box::new(ros.publish::<M>(topic, delivery)?));
        Publisher {
            index: self.add::<M>(topic, delivery, Open::Sink(open), None),
            samples: self.outgoing.0.clone(),
            message: PhantomData,
        }
    }

    fn add<M: Message>(
        &mut self,
        topic: &str,
        delivery: Delivery,
        open: Open,
        samples: Option<Sender<Received>>,
    ) -> u8 {
        self.list.push(Endpoint {
            topic: topic.to_owned(),
            type_name: M::type_name().dds_msg_type(),
            delivery,
            open,
            samples,
        });
        self.list.len() as u8 - 1
    }

    /// Hands a message to its subscription.
    pub fn deliver(&self, frame: &Frame<'_>) {
        let endpoint = self.list.get(usize::from(frame.index));
        if let Some(samples) = endpoint.and_then(|endpoint| endpoint.samples.as_ref()) {
            let _ = samples.try_send((frame.publisher, frame.body.to_vec()));
        }
    }

    /// The messages to publish.
    pub fn outgoing(&self) -> &Receiver<Sample> {
        &self.outgoing.1
    }

    /// Topic, without a leading slash, and DDS type of each.
    pub fn types(&self) -> impl Iterator<Item = (&str, &str)> {
        (self.list.iter())
            .map(|endpoint| (endpoint.topic.trim_start_matches('/'), &*endpoint.type_name))
    }

    /// In the DDS process: opens all of them.
    ///
    /// # Errors
    /// When DDS refuses one.
    pub fn open(&self, ros: &mut Ros) -> Result<Vec<Opened>, NetworkError> {
        let open = |endpoint: &Endpoint| {
            let Endpoint {
                topic, delivery, ..
            } = endpoint;
            Ok(match endpoint.open {
                Open::Source(open) => Opened::Source(open(ros, topic, *delivery)?),
                Open::Sink(open) => Opened::Sink(open(ros, topic, *delivery)?),
            })
        };
        self.list.iter().map(open).collect()
    }
}

/// An endpoint in the DDS process.
pub enum Opened {
    Source(Box<dyn Source>),
    Sink(Box<dyn Sink>),
}

/// Publisher and CDR of a sample, or a line that says why it is none of this type.
pub type Incoming = Result<(Guid, Vec<u8>), String>;

/// A subscription of the DDS library.
pub trait Source {
    fn register(&mut self, registry: &Registry, token: Token) -> std::io::Result<()>;
    /// Hands on what has arrived.
    fn take(&mut self, with: &mut dyn FnMut(Incoming));
}

/// A publisher of the DDS library.
pub trait Sink {
    fn publish(&self, sample: &[u8]);
}

/// A subscription with its topic.
pub struct TypedSource<M> {
    pub topic: String,
    pub subscription: ros2_client::Subscription<M>,
}

impl<M: Message> Source for TypedSource<M> {
    fn register(&mut self, registry: &Registry, token: Token) -> std::io::Result<()> {
        registry.register(&mut self.subscription, token, Interest::READABLE)
    }

    fn take(&mut self, with: &mut dyn FnMut(Incoming)) {
        for _ in 0..BURST {
            match self.subscription.take() {
                Ok(Some((message, info))) => {
                    let publisher = info.publisher_gid().to_bytes16();
                    with(Ok((publisher, message.to_cdr())));
                }
                Ok(None) => return,
                Err(error) => with(Err(format!(
                    "{}: a message is no {}/{}: {}",
                    self.topic,
                    M::PACKAGE,
                    M::NAME,
                    shown(&error.to_string())
                ))),
            }
        }
    }
}

impl<M: Message> Sink for ros2_client::Publisher<M> {
    fn publish(&self, sample: &[u8]) {
        if let Some(message) = M::from_cdr(sample) {
            // A slow subscriber misses messages.
            let _ = ros2_client::Publisher::publish(self, message);
        }
    }
}
