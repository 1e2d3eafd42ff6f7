use super::{RequestError, TargetWriter, Verb, check_name};
use crate::http::target;
use crate::k8s::StreamSet;

/// A pod, and a container of it, to write targets of the API server for.
///
/// Parameters come in alphabetical order, as Go sends them: `command`, `container`, `stderr`, `stdin`, `stdout`,
/// `tty`; what is not set is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pod<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The container; the only one of the pod if absent.
    pub container: Option<&'a str>,
}

impl Pod<'_> {
    /// Writes the target of an exec, and returns its length.
    pub fn write_exec<A: AsRef<[u8]>>(
        &self,
        command: impl IntoIterator<Item = A>,
        streams: StreamSet,
        out: &mut [u8],
    ) -> Result<usize, RequestError> {
        let mut writer = self.begin(Verb::Exec, out)?;
        for argument in command {
            writer.parameter("command", "")?;
            target::encode(argument.as_ref()).try_for_each(|byte| writer.writer.bytes(&[byte]))?;
        }
        self.end(streams, writer)
    }

    /// Writes the target of an attach, and returns its length.
    pub fn write_attach(&self, streams: StreamSet, out: &mut [u8]) -> Result<usize, RequestError> {
        let writer = self.begin(Verb::Attach, out)?;
        self.end(streams, writer)
    }

    /// Writes the target of a port-forward, and returns its length. Only the legacy form names `ports`.
    pub fn write_port_forward(&self, ports: &[u16], out: &mut [u8]) -> Result<usize, RequestError> {
        let mut writer = self.begin(Verb::PortForward, out)?;
        for &port in ports {
            if port == 0 {
                return Err(RequestError::InvalidPort);
            }
            writer.parameter("ports", "")?;
            writer.writer.decimal(port.into())?;
        }
        Ok(writer.len())
    }

    fn begin<'o>(&self, verb: Verb, out: &'o mut [u8]) -> Result<TargetWriter<'o>, RequestError> {
        check_name("namespace", self.namespace)?;
        check_name("pod", self.name)?;
        let mut writer = TargetWriter::new(out);
        writer.path(&["api", "v1", "namespaces", self.namespace, "pods", self.name, verb.word()])?;
        Ok(writer)
    }

    fn end(&self, streams: StreamSet, mut writer: TargetWriter<'_>) -> Result<usize, RequestError> {
        if !streams.is_any() {
            return Err(RequestError::NoStreams);
        }
        let streams = streams.without_stderr_of_tty();
        if let Some(container) = self.container {
            check_name("container", container)?;
            writer.parameter("container", container)?;
        }
        writer.flag("stderr", streams.stderr, "true")?;
        writer.flag("stdin", streams.stdin, "true")?;
        writer.flag("stdout", streams.stdout, "true")?;
        writer.flag("tty", streams.tty, "true")?;
        Ok(writer.len())
    }
}
