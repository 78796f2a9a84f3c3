//! Threads and I/O: pinned threads, the io_uring runtime, sockets, TLS, DNS, timers, pools.
//!
//! A shard is one thread that owns everything it uses. Guarantees: dropping a future never loses
//! received bytes ([`Reader::fill`] keeps its operation); a connection is closed as soon as its
//! owner is dropped; nothing blocks, and name lookups run on offload threads.
//!
//! Only this part names the async runtime. It knows no HTTP and no provider. Deliberately absent:
//! SQPOLL, fixed files, multishot receives and SEND_ZC, none of which showed a gain for this
//! workload.

mod busy_poll;
mod connection_counts;
mod dial;
mod distrust;
mod listener;
mod mailbox;
mod memory;
mod pool;
mod resolver;
mod runtime;
mod socket;
mod stream;
mod timer;
mod tls;
mod virtual_time;
mod writer;

pub use dial::{DialError, Dialer, Peer};
pub use distrust::Distrust;
pub use listener::{AcceptError, Listener, bind_free, raise_file_limit};
pub use mailbox::{Mailbox, Sender, mailbox};
pub use memory::{Script, Step, Tape};
pub use pool::{Pool, PoolEvent, PoolLimits, Pooled};
pub use resolver::HostName;
pub use runtime::{Driver, ShardError, ShardOptions, available_cores, probe_driver, run, spawn};
pub use stream::{Connection, Reader, ShutdownHandle};
pub use timer::{TimedOut, Watchdog, sleep, within};
pub use tls::{
    Roots, TlsAcceptor, TlsConnector, TlsError, client_tls, root_certificates, server_tls,
};
pub use virtual_time::{Deadlock, run_in_virtual_time};
pub use writer::Writer;
