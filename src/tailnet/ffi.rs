//! The Go library's functions as safe Rust.
//!
//! Owns: every `unsafe` block of the crate. In: a handle and plain values. Out: owned descriptors and strings, or the
//! library's own words as an error. Every function blocks; `node` keeps them off the async threads.
//! Must not know: what a descriptor carries, what an answer means.
#![expect(unsafe_code, reason = "the one place where the Go library is called")]

use super::sys;
use parking_lot::Mutex;
use std::{
    ffi::{CStr, CString, c_char, c_int},
    fmt,
    os::fd::{FromRawFd, IntoRawFd, OwnedFd},
    ptr,
    time::Duration,
};

/// What the library said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refusal(pub(super) String);

/// A setting that is a text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Setting {
    Hostname,
    Dir,
    Store,
    AuthKey,
    ClientSecret,
    ControlUrl,
    Tags,
}

/// A node of the library.
///
/// The handle is an integer that the library looks up under a lock at every call, so it may be used from any
/// thread, and a stale one is an error and nothing worse (`handles.go`, `lookup`).
pub(super) struct Handle {
    number: c_int,
    /// Held over "call, then ask for the error", so that a text belongs to its call. Closing does not take it,
    /// because closing is how a call that hangs is ended.
    errors: Mutex<()>,
}

// === impl Handle ===

impl Handle {
    pub(super) fn new() -> Self {
        // SAFETY: takes nothing and does no I/O (`exports.go`, `tailscale_new`).
        let number = unsafe { sys::tailscale_new() };
        Self {
            number,
            errors: Mutex::new(()),
        }
    }

    pub(super) fn set(&self, setting: Setting, value: &str) -> Result<(), Refusal> {
        let function = match setting {
            Setting::Hostname => sys::tailscale_set_hostname,
            Setting::Dir => sys::tailscale_set_dir,
            Setting::Store => sys::tailscale_set_store,
            Setting::AuthKey => sys::tailscale_set_authkey,
            Setting::ClientSecret => sys::tailscale_set_client_secret,
            Setting::ControlUrl => sys::tailscale_set_control_url,
            Setting::Tags => sys::tailscale_set_tags,
        };
        let value = text(value)?;
        self.checked(|| {
            // SAFETY: `value` is a C string that outlives the call; the library copies it and writes nothing
            // through the pointer (`exports.go`, `setText`: C.GoString).
            unsafe { function(self.number, value.as_ptr().cast_mut()) }
        })
    }

    pub(super) fn set_ephemeral(&self, ephemeral: bool) -> Result<(), Refusal> {
        // SAFETY: two integers, no memory (`exports.go`, `tailscale_set_ephemeral`).
        self.checked(|| unsafe { sys::tailscale_set_ephemeral(self.number, ephemeral.into()) })
    }

    pub(super) fn set_udp_port(&self, port: u16) -> Result<(), Refusal> {
        // SAFETY: two integers, no memory (`exports.go`, `tailscale_set_udp_port`).
        self.checked(|| unsafe { sys::tailscale_set_udp_port(self.number, port.into()) })
    }

    pub(super) fn set_log(&self, log: OwnedFd) -> Result<(), Refusal> {
        let descriptor = log.into_raw_fd();
        // SAFETY: the descriptor is open and passes to the library, which closes it also when the call fails
        // (`exports.go`, `tailscale_set_logfd`).
        self.checked(|| unsafe { sys::tailscale_set_logfd(self.number, descriptor) })
    }

    pub(super) fn start(&self) -> Result<(), Refusal> {
        // SAFETY: takes the handle only; ends when the node is closed (`node.go`, `start`).
        self.checked(|| unsafe { sys::tailscale_start(self.number) })
    }

    /// A listener's descriptor; `address` is `:80`, or `ip:port` with an address of the node.
    pub(super) fn listen(&self, address: &str) -> Result<OwnedFd, Refusal> {
        let address = text(address)?;
        let mut descriptor = -1;
        self.checked(|| {
            // SAFETY: two C strings and a place for an integer, all of which outlive the call; the library keeps no
            // pointer (`exports.go`, `tailscale_listen`).
            unsafe {
                sys::tailscale_listen(
                    self.number,
                    c"tcp".as_ptr().cast_mut(),
                    address.as_ptr().cast_mut(),
                    &raw mut descriptor,
                )
            }
        })?;
        Ok(owned(descriptor))
    }

    /// Connects to `host:port` in the tailnet.
    pub(super) fn dial(&self, address: &str, timeout: Duration) -> Result<OwnedFd, Refusal> {
        let address = text(address)?;
        let mut descriptor = -1;
        let mut reason = ptr::null_mut();
        // SAFETY: two C strings and two places for results, all of which outlive the call; the library keeps no
        // pointer (`exports.go`, `tailscale_dial`).
        let result = unsafe {
            sys::tailscale_dial(
                self.number,
                c"tcp".as_ptr().cast_mut(),
                address.as_ptr().cast_mut(),
                milliseconds(timeout),
                &raw mut descriptor,
                &raw mut reason,
            )
        };
        let reason = take(reason);
        if result == 0 {
            Ok(owned(descriptor))
        } else {
            Err(Refusal(reason))
        }
    }

    /// One call to the `LocalAPI`: HTTP status and body.
    pub(super) fn local_api(
        &self,
        method: &CStr,
        path: &str,
        body: &str,
        timeout: Duration,
    ) -> Result<(u16, String), Refusal> {
        let path = text(path)?;
        let body = text(body)?;
        let mut out = ptr::null_mut();
        // SAFETY: three C strings, and a place for the answer, all of which outlive the call; the
        // library keeps no pointer (`exports.go`, `tailscale_localapi`).
        let status = unsafe {
            sys::tailscale_localapi(
                self.number,
                method.as_ptr().cast_mut(),
                path.as_ptr().cast_mut(),
                body.as_ptr().cast_mut(),
                milliseconds(timeout),
                &raw mut out,
            )
        };
        let answer = take(out);
        u16::try_from(status)
            .map(|status| (status, answer.clone()))
            .map_err(|_| Refusal(answer))
    }

    /// A stream of notifications, one JSON object a line.
    pub(super) fn watch(&self, mask: u64) -> Result<OwnedFd, Refusal> {
        let mut descriptor = -1;
        self.checked(|| {
            // SAFETY: two integers and a place for a third that outlives the call (`exports.go`, `tailscale_watch`).
            unsafe { sys::tailscale_watch(self.number, mask, &raw mut descriptor) }
        })?;
        Ok(owned(descriptor))
    }

    /// Closes the node; a second call is refused.
    pub(super) fn close(&self) -> Result<(), Refusal> {
        // SAFETY: takes the handle only, which the library forgets (`handles.go`, `closeHandle`); descriptors that it
        // gave out stay ours and see their end.
        let result = unsafe { sys::tailscale_close(self.number) };
        self.outcome(result)
    }

    /// Makes a call that leaves the reason of its failure with the handle.
    fn checked(&self, call: impl FnOnce() -> c_int) -> Result<(), Refusal> {
        let _errors = self.errors.lock();
        self.outcome(call())
    }

    fn outcome(&self, result: c_int) -> Result<(), Refusal> {
        if result == 0 {
            return Ok(());
        }
        // SAFETY: takes the handle only and returns a copy of the text (`exports.go`, `tailscale_errmsg`).
        let message = unsafe { sys::tailscale_errmsg(self.number) };
        Err(Refusal(take(message)))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.number)
    }
}

/// A C string of what may hold an interior NUL.
fn text(value: &str) -> Result<CString, Refusal> {
    CString::new(value).map_err(|_| Refusal("a setting or an address holds a NUL byte".to_owned()))
}

/// The library takes whole milliseconds and refuses none at all.
fn milliseconds(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis())
        .unwrap_or(c_int::MAX)
        .max(1)
}

/// Takes over a descriptor that a successful call has given.
fn owned(descriptor: c_int) -> OwnedFd {
    assert!(descriptor >= 0, "a successful call gives a descriptor");
    // SAFETY: the call succeeded, so the descriptor is open and nobody else owns it (`conn.go`, `socketPair`: the
    // library keeps the other end only).
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// Takes over a string that the library returned; NULL is empty.
fn take(string: *mut c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: not NULL, so it is a C string made by C.CString that nobody changes (`exports.go`, `newText`).
    let borrowed = unsafe { CStr::from_ptr(string) };
    let text = borrowed.to_string_lossy().into_owned();
    // SAFETY: the library returned it, and it is freed once; `borrowed` is not used again (`exports.go`,
    // `tailscale_free`).
    unsafe { sys::tailscale_free(string) };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_whole_positive_milliseconds() {
        assert_eq!(milliseconds(Duration::ZERO), 1);
        assert_eq!(milliseconds(Duration::from_micros(10)), 1);
        assert_eq!(milliseconds(Duration::from_secs(2)), 2000);
        assert_eq!(milliseconds(Duration::MAX), c_int::MAX);
    }

    #[test]
    fn refusals_carry_the_library_s_words() {
        let handle = Handle::new();
        assert!(
            handle
                .set(Setting::Tags, "x")
                .unwrap_err()
                .0
                .contains("tag \"x\"")
        );
        assert!(
            handle
                .set(Setting::Hostname, "a\0b")
                .unwrap_err()
                .0
                .contains("NUL")
        );
        assert!(handle.start().unwrap_err().0.contains("no state directory"));
        assert!(
            handle
                .listen(":80")
                .unwrap_err()
                .0
                .contains("not been started")
        );
        assert!(handle.watch(2).unwrap_err().0.contains("not been started"));
        let error = handle.dial("alice:80", Duration::from_secs(1)).unwrap_err();
        assert!(error.0.contains("not been started"), "{error}");
        let error = handle
            .local_api(c"GET", "status", "", Duration::from_secs(1))
            .unwrap_err();
        assert!(error.0.contains("not been started"), "{error}");
        handle.close().unwrap();
        assert!(handle.close().unwrap_err().0.contains("unknown handle"));
    }
}
