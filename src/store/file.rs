//! One redb file that can be opened again after an I/O error.
//!
//! Owns: [`File`]: the open database, or none while it is shut. In: closures that read or write inside one transaction.
//! Out: what they return, copied. redb refuses everything after an I/O error until the database is opened again
//! ("poisoned"), which [`File::reopen`] does: it waits for readers, so readers must be short.
//! Must not know: tables other than the schema's version.

use super::codec::BadRow;
use super::schema::{self, FileName, VERSION};
use parking_lot::RwLock;
use redb::{Builder, Database, Durability, ReadTransaction, ReadableDatabase, StorageBackend};
use redb::{WriteTransaction, backends::FileBackend};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{fmt, io, path::Path, path::PathBuf, sync::Arc};

/// Opens the bytes of a file somewhere else than in the state directory: for tests of faults.
pub type OpenBackend = Arc<dyn Fn(FileName) -> io::Result<Box<dyn StorageBackend>> + Send + Sync>;

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The state directory, or a file in it, can't be made or opened.
    #[error("can't open {path}")]
    Io {
        /// What can't be opened.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A later version of the gateway wrote it.
    #[error(
        "{file} has schema version {found}, this build knows versions up to {known}: run the newer version of aperture that wrote it"
    )]
    Newer {
        /// The file.
        file: &'static str,
        /// The version in it.
        found: u64,
        /// The newest version of this build.
        known: u64,
    },
    /// redb can't open or repair it.
    #[error(
        "{path} is damaged, or no database of this gateway; restore it from a backup, or move it away to start without \
         what is in it"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What redb said.
        source: redb::Error,
    },
    /// A thread could not be started.
    #[error("the store's thread can't be started")]
    Thread(#[source] io::Error),
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store is closed, or shut until its disk works again.
    #[error("the store is not open")]
    Closed,
    /// The disk hangs, or answers others first.
    #[error("the disk does not answer in time")]
    Slow,
    /// redb failed.
    #[error("the store can't be read")]
    Database(#[source] redb::Error),
    /// A row is not what it should be.
    #[error(transparent)]
    Row(#[from] BadRow),
}

impl ReadError {
    /// The same in redb's words, for a transaction that both reads and writes.
    pub(super) fn into_redb(self) -> redb::Error {
        match self {
            Self::Closed | Self::Slow => redb::Error::DatabaseClosed,
            Self::Database(error) => error,
            Self::Row(row) => redb::Error::Corrupted(row.to_string()),
        }
    }
}

macro_rules! read_error_from {
    ($($error:ty),*) => {
        $(impl From<$error> for ReadError {
            fn from(error: $error) -> Self {
                Self::Database(error.into())
            }
        })*
    };
}
read_error_from!(
    redb::Error,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError
);

/// A database that can be shut and opened again.
pub(super) struct File {
    name: FileName,
    path: Option<PathBuf>,
    backend: Option<OpenBackend>,
    cache_bytes: usize,
    database: RwLock<Option<Database>>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// redb takes backends by type; this one is chosen at run time.
#[derive(Debug)]
pub(super) struct Chosen(pub(super) Box<dyn StorageBackend>);

impl StorageBackend for Chosen {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

impl File {
    pub(super) const fn name(&self) -> FileName {
        self.name
    }

    /// Opens, repairs and migrates. Says whether the file is new.
    pub(super) fn open(
        name: FileName,
        directory: &Path,
        backend: Option<OpenBackend>,
        cache_bytes: usize,
    ) -> Result<(Self, bool), OpenError> {
        let file = Self {
            name,
            path: backend.is_none().then(|| directory.join(name.as_str())),
            backend,
            cache_bytes,
            database: RwLock::new(None),
        };
        let fresh = file.reopen()?;
        Ok((file, fresh))
    }

    /// Shuts the database if it is open, then opens it (again). Says whether the file is new.
    pub(super) fn reopen(&self) -> Result<bool, OpenError> {
        self.exchange(|| Ok(()))
    }

    /// The same rows in a new file beside this one, for [`File::replace`]; none where this one is not on a disk.
    pub(super) fn beside(&self) -> Result<Option<Self>, OpenError> {
        let Some(path) = &self.path else {
            return Ok(None);
        };
        let path = path.with_extension("renewed");
        // Of a process that ended in the middle.
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(OpenError::Io { path, source });
            }
            _ => {}
        }
        let file = Self {
            name: self.name,
            path: Some(path),
            backend: None,
            cache_bytes: self.cache_bytes / 2,
            database: RwLock::new(None),
        };
        file.reopen()?;
        Ok(Some(file))
    }

    /// Takes the place of another file; readers wait for that moment.
    pub(super) fn replace(self, other: &Self) -> Result<(), OpenError> {
        self.close();
        let (from, to) = (self.place(), other.place());
        other.exchange(|| {
            let directory = to.parent().unwrap_or(Path::new("."));
            same_owner(&from, &to)
                .and_then(|()| std::fs::rename(&from, &to))
                .and_then(|()| std::fs::File::open(directory)?.sync_all())
                .map_err(|source| OpenError::Io {
                    path: to.clone(),
                    source,
                })
        })?;
        Ok(())
    }

    /// Shuts the database if it is open, lets something be done with the file, and opens it again.
    fn exchange(&self, change: impl FnOnce() -> Result<(), OpenError>) -> Result<bool, OpenError> {
        let mut slot = self.database.write();
        drop(slot.take());
        change()?;
        let (database, found) = self.guarded(|| {
            let database = self.create()?;
            let found =
                schema::version(self.name, &database).map_err(|error| self.failed(error))?;
            Ok((database, found))
        })?;
        match found {
            Some(found) if found > VERSION => {
                return Err(OpenError::Newer {
                    file: self.name.as_str(),
                    found,
                    known: VERSION,
                });
            }
            Some(VERSION) => {}
            found => {
                let step = || {
                    let write = database.begin_write()?;
                    schema::migrate(self.name, found, &write)?;
                    write.commit()?;
                    Ok(())
                };
                step().map_err(|error: redb::Error| self.failed(error))?;
            }
        }
        *slot = Some(database);
        Ok(found.is_none())
    }

    /// Where it is.
    fn place(&self) -> PathBuf {
        let path = self.path.clone();
        path.unwrap_or_else(|| self.name.as_str().into())
    }

    /// What an error of opening means: the disk refused, or the file is damaged.
    pub(super) fn failed(&self, error: impl Into<redb::Error>) -> OpenError {
        let path = self.place();
        match error.into() {
            // redb's words for a file that is none of its own, or too short.
            redb::Error::Io(source)
                if !matches!(
                    source.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                OpenError::Io { path, source }
            }
            redb::Error::DatabaseAlreadyOpen => OpenError::Io {
                path,
                source: io::Error::new(io::ErrorKind::ResourceBusy, "another process has it open"),
            },
            source => OpenError::Damaged { path, source },
        }
    }

    /// Runs a part of the opening; a panic inside redb is how some damage shows.
    pub(super) fn guarded<T>(
        &self,
        open: impl FnOnce() -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| {
            let why = "redb stopped at something that can't be".to_owned();
            Err(self.failed(redb::Error::Corrupted(why)))
        })
    }

    fn create(&self) -> Result<Database, OpenError> {
        let mut builder = Builder::new();
        builder.set_cache_size(self.cache_bytes);
        if let Some(open) = &self.backend {
            let backend = open(self.name).map_err(|source| OpenError::Io {
                path: self.name.as_str().into(),
                source,
            })?;
            return builder
                .create_with_backend(Chosen(backend))
                .map_err(|error| self.failed(error));
        }
        let path = self.place();
        let file = private_file(&path).map_err(|source| OpenError::Io { path, source })?;
        let backend = FileBackend::new(file).map_err(|error| self.failed(error))?;
        builder
            .create_with_backend(backend)
            .map_err(|error| self.failed(error))
    }

    /// Reads in one transaction. Nothing borrowed leaves it.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let slot = self.database.read();
        let database = slot.as_ref().ok_or(ReadError::Closed)?;
        read(&database.begin_read()?)
    }

    /// A transaction for a reader that takes its time. It must look at [`File::is_open`] and end when that turns false:
    /// the database can't be opened again before.
    pub(super) fn transaction(&self) -> Result<ReadTransaction, ReadError> {
        let slot = self.database.read();
        let database = slot.as_ref().ok_or(ReadError::Closed)?;
        Ok(database.begin_read()?)
    }

    /// Whether the database is neither shut nor about to be.
    pub(super) fn is_open(&self) -> bool {
        self.database.try_read().is_some_and(|slot| slot.is_some())
    }

    /// Writes in one transaction and makes it durable.
    pub(super) fn write<T>(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        let slot = self.database.read();
        let database = slot.as_ref().ok_or(redb::Error::DatabaseClosed)?;
        let mut transaction = database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        // After a crash the allocator's state is read instead of rebuilt from the whole file.
        transaction.set_quick_repair(true);
        let out = write(&transaction)?;
        transaction.commit()?;
        Ok(out)
    }

    /// Shuts the database; readers get [`ReadError::Closed`] from now on.
    pub(super) fn close(&self) {
        drop(self.database.write().take());
    }

    /// Bytes of the file on disk; 0 where there is none.
    pub(super) fn size(&self) -> u64 {
        self.path
            .as_ref()
            .and_then(|path| std::fs::metadata(path).ok())
            .map_or(0, |metadata| metadata.len())
    }
}

/// Opens or creates a file that only its owner may read, also when it was there with a wider mode.
fn private_file(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Gives a file the owner of another: a command run by root must not leave what the gateway's own user can't open.
fn same_owner(file: &Path, other: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let (own, wanted) = (std::fs::metadata(file)?, std::fs::metadata(other)?);
    if (own.uid(), own.gid()) == (wanted.uid(), wanted.gid()) {
        return Ok(());
    }
    chown(file, Some(wanted.uid()), Some(wanted.gid()))
}

/// Creates the state directory, for its owner alone.
pub(super) fn private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    if std::fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}
