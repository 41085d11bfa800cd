//! Servers of other make, each told to answer with what it has read: its
//! method, the length of its body, its host and its target, in a field
//! `x-seen`.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::support::eventually;

/// A running server. It is ended when dropped.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Origin {
    /// One of each make.
    pub(crate) fn all() -> Vec<Self> {
        vec![
            Self::start("nginx", nginx),
            Self::start("haproxy", haproxy),
            Self::start("apache", apache),
            Self::start("node", node),
            Self::start("python", python),
        ]
    }

    fn start(name: &'static str, command: fn(&Path, SocketAddr) -> Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Apache's script runs as somebody else.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a folder");
        let address = free_address();
        let log = fs::File::create(folder.path().join("log")).expect("a file");
        let mut command = command(folder.path(), address);
        // Apache ends the whole of its group.
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}; scripts/install-origins has it"));
        let log = || fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        eventually(|| {
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none(), "{name} does not start: {}", log());
            TcpStream::connect(address).is_ok()
        });
        Self { name, address, child, _folder: folder }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // Politely: some have children of their own.
        let id = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port")
}

fn write(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("a file");
    path
}

/// Debian's nginx, with the module that reads a request's body by itself.
fn nginx(folder: &Path, address: SocketAddr) -> Command {
    let at = folder.display();
    let config = format!(
        r#"daemon off;
pid {at}/pid;
error_log stderr error;
worker_processes 1;
load_module /usr/lib/nginx/modules/ngx_http_echo_module.so;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {at}/body;
    proxy_temp_path {at}/proxy;
    fastcgi_temp_path {at}/fastcgi;
    uwsgi_temp_path {at}/uwsgi;
    scgi_temp_path {at}/scgi;
    map $content_length $length {{ "" 0; default $content_length; }}
    map $http_host $named {{ "" -; default $http_host; }}
    server {{
        listen {address};
        location / {{
            add_header x-seen "$request_method $length $named $request_uri" always;
            echo_read_request_body;
            echo ok;
        }}
    }}
}}
"#
    );
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder).arg("-c").arg(write(folder, "nginx.conf", &config));
    command
}

fn haproxy(folder: &Path, address: SocketAddr) -> Command {
    let config = format!(
        "defaults\n    mode http\n    timeout client 30s\n    timeout http-request 10s\n\
         frontend origin\n    bind {address}\n\
         \x20   http-request wait-for-body time 5s\n\
         \x20   http-request set-var(txn.host) str(-)\n\
         \x20   http-request set-var(txn.host) req.fhdr(host) if {{ req.fhdr(host) -m found }}\n\
         \x20   http-request return status 200 hdr x-seen \
         \"%[method] %[req.body_len] %[var(txn.host)] %[url]\"\n"
    );
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(write(folder, "haproxy.cfg", &config));
    command
}

fn apache(folder: &Path, address: SocketAddr) -> Command {
    let at = folder.display();
    let script = "#!/bin/sh\nlength=$(wc -c)\n\
        printf 'x-seen: %s %s %s %s\\r\\ncontent-type: text/plain\\r\\ncontent-length: 0\\r\\n\\r\\n' \
        \"$REQUEST_METHOD\" \"$length\" \"${HTTP_HOST:--}\" \"$REQUEST_URI\"\n";
    let script = write(folder, "seen", script);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a file");
    let modules: String = ["mpm_prefork", "authz_core", "alias", "cgi"]
        .iter()
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .collect();
    let config = format!(
        "{modules}ServerName origin\nListen {address}\nPidFile {at}/pid\n\
         DefaultRuntimeDir {at}\nErrorLog /dev/stderr\nUser www-data\nGroup www-data\n\
         StartServers 4\nMaxKeepAliveRequests 0\nKeepAliveTimeout 30\n\
         ScriptAliasMatch \"^\" \"{at}/seen\"\n\
         <Directory \"{at}\">\n    Require all granted\n</Directory>\n"
    );
    let mut command = Command::new("/usr/sbin/apache2");
    command.args(["-D", "FOREGROUND", "-d"]).arg(folder);
    command.arg("-f").arg(write(folder, "apache.conf", &config));
    command
}

fn node(folder: &Path, address: SocketAddr) -> Command {
    let script = format!(
        "require('http').createServer((request, answer) => {{\n\
         \x20 let length = 0;\n\
         \x20 request.on('data', (data) => {{ length += data.length; }});\n\
         \x20 request.on('end', () => {{\n\
         \x20   const host = request.headers.host || '-';\n\
         \x20   answer.setHeader('x-seen', `${{request.method}} ${{length}} ${{host}} ${{request.url}}`);\n\
         \x20   answer.end();\n\
         \x20 }});\n\
         }}).listen({}, '127.0.0.1');\n",
        address.port()
    );
    let mut command = Command::new("node");
    command.arg(write(folder, "origin.js", &script));
    command
}

/// The one that comes with Python: it knows of no chunks, so they are read
/// here.
fn python(folder: &Path, address: SocketAddr) -> Command {
    let script = format!(
        r#"from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Seen(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = 0
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            while size := int(self.rfile.readline().split(b";")[0], 16):
                length += len(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            length = len(self.rfile.read(int(self.headers.get("content-length", 0))))
        self.send_response(200)
        host = self.headers.get("host", "-")
        # As it came: self.path has fewer slashes.
        target = self.requestline.split()[1]
        self.send_header("x-seen", f"{{self.command}} {{length}} {{host}} {{target}}")
        self.send_header("content-length", "0")
        self.end_headers()

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", {}), Seen).serve_forever()
"#,
        address.port()
    );
    let mut command = Command::new("python3");
    command.arg(write(folder, "origin.py", &script));
    command
}
