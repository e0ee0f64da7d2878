//! Records to write, a store in memory, and a disk that breaks.

use crate::endpoint::Endpoint;
use crate::record::*;
use crate::store::{
    ConfigOrigin, ConfigVersion, FileName, OpenBackend, OpenOptions, Recovered, Store, Writer,
};
use parking_lot::Mutex;
use redb::StorageBackend;
use std::{collections::HashMap, io, path::Path, sync::Arc};

/// An id that began `ms` milliseconds after 1970.
pub(super) fn id(ms: u64, number: u64) -> RequestId {
    RequestId(RequestId::at(Timestamp(ms)).0 | u128::from(number))
}

pub(super) fn record(id: RequestId) -> Record {
    Record {
        id,
        started: id.time(),
        who: Who {
            user: "user:1".into(),
            login: "alice@example.com".into(),
            node: "n1".into(),
            node_name: "laptop".into(),
            tags: Vec::new(),
        },
        grant: Some("file: everybody".into()),
        client: Client {
            name: "claude-code".into(),
            version: "2".into(),
        },
        endpoint: Endpoint::AnthropicMessages,
        path: "POST /v1/messages".into(),
        provider: Some("anthropic".into()),
        provider_request_id: Some("req_011CX".into()),
        model_asked: Some("claude-sonnet-4-5".into()),
        model: Some("claude-sonnet-4-5".into()),
        model_served: None,
        streamed: true,
        status: None,
        service_tier: None,
        end: End::InFlight,
        failure: None,
        timings: Timings::default(),
        bytes: Bytes::default(),
        usage: Usage::default(),
        usage_state: UsageState::None,
        cost: Cost::default(),
        estimate: None,
        session: Some(SessionId(7)),
        parent_session: None,
        agent: None,
        title: None,
        tools: Vec::new(),
        workspace: None,
        cache_miss: None,
        stop_reason: None,
        capture: CaptureMode::Full,
        capture_lost: None,
        anchors: vec![1, 2],
    }
}

/// The same request, finished with some usage.
pub(super) fn finished(mut record: Record) -> Record {
    record.status = Some(200);
    record.end = End::Complete;
    record.timings.first_byte_us = 40_000;
    record.timings.total_us = 1_200_000;
    record.bytes = Bytes {
        request: 100,
        response: 200,
    };
    record.usage = Usage {
        input: 10,
        cache_read: 20,
        output: 30,
        ..Usage::default()
    };
    record.usage_state = UsageState::Reported;
    record.cost = Cost {
        pico: 1_000,
        state: CostState::Priced,
        ..Cost::default()
    };
    record
}

pub(super) fn body(text: &[u8], borders: &[usize]) -> CapturedBody {
    CapturedBody {
        chunks: vec![bytes::Bytes::copy_from_slice(text)],
        borders: borders.to_vec(),
        truncated: false,
        size: text.len() as u64,
    }
}

pub(super) fn capture(request: &[u8], response: &[u8]) -> Capture {
    Capture {
        request_head: HeadLines::from_iter([("content-type", "application/json")]),
        response_head: HeadLines::from_iter([("x", "y")]),
        request: body(request, &[]),
        response: body(response, &[]),
    }
}

pub(super) fn whole(body: &CapturedBody) -> Vec<u8> {
    body.chunks.concat()
}

/// A disk for both files: what was synced survives a crash, what was only written may not.
#[derive(Debug, Default)]
pub(super) struct Disk {
    files: Mutex<HashMap<FileName, Arc<Mutex<Image>>>>,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Debug, Default)]
struct Faults {
    /// Writes and syncs until all of them fail; none = never.
    left: Option<u64>,
    /// Writes and syncs so far.
    done: u64,
}

#[derive(Debug, Default)]
struct Image {
    live: Vec<u8>,
    durable: Vec<u8>,
}

impl Disk {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// From now on, `count` writes and syncs work, then none.
    pub(super) fn fail_after(&self, count: Option<u64>) {
        self.faults.lock().left = count;
    }

    /// Until what this returns is dropped, every write and sync hangs.
    pub(super) fn hang(&self) -> impl Drop + '_ {
        self.faults.lock()
    }

    pub(super) fn operations(&self) -> u64 {
        self.faults.lock().done
    }

    /// The disk after a power cut: only what was synced is left.
    pub(super) fn crashed(&self) -> Arc<Self> {
        let disk = Self::default();
        for (name, image) in &*self.files.lock() {
            let durable = image.lock().durable.clone();
            let image = Image {
                live: durable.clone(),
                durable,
            };
            disk.files.lock().insert(*name, Arc::new(Mutex::new(image)));
        }
        Arc::new(disk)
    }

    pub(super) fn backend(self: &Arc<Self>) -> OpenBackend {
        let disk = Arc::clone(self);
        Arc::new(move |name| {
            let image = Arc::clone(disk.files.lock().entry(name).or_default());
            Ok(Box::new(Backend {
                image,
                faults: Arc::clone(&disk.faults),
            }))
        })
    }
}

#[derive(Debug)]
struct Backend {
    image: Arc<Mutex<Image>>,
    faults: Arc<Mutex<Faults>>,
}

impl Backend {
    fn operate(&self) -> io::Result<()> {
        let mut faults = self.faults.lock();
        faults.done += 1;
        match &mut faults.left {
            None => Ok(()),
            Some(0) => Err(io::Error::from(io::ErrorKind::StorageFull)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.image.lock().live.len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let image = self.image.lock();
        let start = usize::try_from(offset).unwrap();
        let bytes = image.live.get(start..start + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.operate()?;
        let mut image = self.image.lock();
        image.live.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        self.operate()?;
        let mut image = self.image.lock();
        image.durable = image.live.clone();
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.operate()?;
        let mut image = self.image.lock();
        let start = usize::try_from(offset).unwrap();
        image.live[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

pub(super) fn open_on(disk: &Arc<Disk>, options: OpenOptions) -> (Store, Writer, Recovered) {
    let options = OpenOptions {
        backend: Some(disk.backend()),
        cache_bytes: 4 << 20,
        ..options
    };
    Store::open(Path::new("memory"), options).unwrap()
}

/// A store in memory.
pub(super) fn store() -> (Store, Writer) {
    let (store, writer, _) = open_on(&Disk::new(), OpenOptions::default());
    (store, writer)
}

/// A version of the configuration with that text.
pub(super) fn configuration(text: &str) -> ConfigVersion {
    ConfigVersion {
        version: 0,
        text: text.to_owned(),
        who: "user:2".to_owned(),
        at: Timestamp(5),
        login: String::new(),
        origin: ConfigOrigin::default(),
        etag: String::new(),
        summary: String::new(),
    }
}
