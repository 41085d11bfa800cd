//! Every diagnostic has a code, and every code is explained here.
//!
//! `portolan help P0101` prints the explanation, and the same table is
//! `docs/reference/diagnostics.md`. P01xx is about the shape of the file,
//! P02xx about single values, P03xx about what the values mean together. A
//! code is never given to another problem, not even once it is unused.

use std::{fmt, fmt::Write};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file takes effect, but perhaps not as it was meant.
    Warning,
    /// The file does not take effect.
    Error,
}

impl Severity {
    /// The word in front of a diagnostic.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

macro_rules! codes {
    ($($name:ident $code:literal $severity:ident $title:literal $explanation:literal)*) => {
        /// What kind of problem a diagnostic is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As users see it: `P0101`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// Whether it is an error or a warning.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity),* }
            }

            /// A line.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }

            /// A paragraph: what is wrong, why it matters and what to do.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$name => $explanation),* }
            }
        }
    };
}

codes! {
    Unreadable "P0100" Error "The file cannot be read"
    "It is not there, may not be read by the user that Portolan runs as, or is not UTF-8 text."

    UnknownKey "P0101" Error "Unknown key"
    "The table has no key of this name. Unknown keys are errors, because a setting that is misspelt and silently ignored is found in production. `docs/reference/config.md` lists every key."

    Syntax "P0102" Error "Not TOML"
    "The text does not follow the grammar of TOML 1.1. What is checked beyond it is limited to the part of the file before the error, if the error hides which section the rest belongs to."

    DuplicateKey "P0103" Error "Key defined twice"
    "A table has a key, or the file has a table, two times. TOML leaves no order between the two, so neither can win. Header names are the same whether written in lower or upper case."

    WrongType "P0104" Error "Wrong type"
    "The key wants a value of another type: text in quotes, a whole number, true or false, a list, or a table. Durations and sizes are text with a unit (`\"5s\"`, `\"64KiB\"`). A section that may be there several times has two brackets (`[[route]]`), any other has one (`[admin]`)."

    MissingKey "P0105" Error "Missing key"
    "The table has no value for a key that has no default."

    WritableByAll "P0106" Warning "Every user may write the file"
    "The permissions of the file let every user of the machine change it, and with it where requests go. `chmod o-w` takes that away."

    Duration "P0201" Error "Not a duration"
    "A duration is a number with its unit, or several: `\"500ms\"`, `\"5s\"`, `\"1m 30s\"`, `\"24h\"`."

    Size "P0202" Error "Not a size"
    "A size is a whole number with its unit: `\"512B\"`, `\"64KiB\"`, `\"1MiB\"`, `\"2GiB\"`."

    Origin "P0203" Error "Not the address of an instance"
    "An instance is named by host and port, with or without `http://`: `\"http://10.0.0.5:8080\"`, `\"[fd00::5]:8080\"`, `\"orders.internal:8080\"`. A path does not belong to it; `add_prefix` of a route puts one in front."

    ListenAddress "P0204" Error "Not an address to listen on"
    "Listening takes an IP address and a port: `\"127.0.0.1:8080\"`, `\"[::1]:8080\"`, or `\":8080\"` for every IPv4 address of the machine. Names are not resolved."

    Network "P0205" Error "Not a network"
    "A network is an IP address and the length of its prefix: `\"10.0.0.0/8\"`, `\"fd00::/8\"`. One address alone is `\"10.0.0.5/32\"`."

    ServiceName "P0206" Error "Not the name of a service"
    "A service name has 1 to 63 lower-case letters, digits, `-`, `_` and `.`, and begins and ends with a letter or digit, so that it can stand in a URL, a log line and a metric without escaping."

    Host "P0207" Error "Not a host"
    "A host is a DNS name or an IP address (in brackets if IPv6). In a route `\"*.example\"` matches every name below `example`, and there is no port: routes match the host alone."

    Path "P0208" Error "Not a path"
    "A path begins with `/`, holds no spaces, and what is not ASCII in it is percent-encoded. In a route it also ends before `?`, and may not hold what servers read in different ways, such as an encoded slash."

    Header "P0209" Error "Not a header"
    "The name of a header is letters, digits and a few marks, without spaces or a colon. Its value is visible text; control characters such as line breaks are not allowed in it."

    Method "P0210" Error "Not a method"
    "Methods are case-sensitive words: `GET`, `POST`, and so on."

    StatusSet "P0211" Error "Not a set of statuses"
    "Statuses are numbers from 100 to 599, single or as ranges: `\"200-299\"`, `\"200, 204, 300-399\"`."

    Sha256 "P0212" Error "Not a SHA-256"
    "Tokens are kept as the SHA-256 of the token, 64 hexadecimal digits, so that the file gives none away. `portolan token` makes a token and prints its line for the file."

    RedirectTarget "P0213" Error "Not a target for a redirect"
    "A redirect leads to a URL (`\"https://shop.example/new\"`) or to a path on the same host (`\"/new\"`). What follows the route's path, and the query, are appended, so the target has neither `?` nor `#`."

    Word "P0214" Error "Not one of the words"
    "The key takes one of a few words, listed in the message."

    Range "P0215" Error "Number out of range"
    "The number is smaller or larger than the key allows, or not one of the few that it takes."

    Refused "P0216" Error "Value refused"
    "The value has the right form but was refused when it was taken over. The message says why."

    NoVariable "P0217" Error "Variable without a value"
    "`${NAME}` stands for an environment variable, and it is not set. Set it, or give a value for that case: `${NAME:-value}`. Text that should hold `${` is written `$${`."

    NoFile "P0218" Error "File of a value cannot be read"
    "`${file:PATH}` stands for what the file holds, less a line break at its end. The file is not there, cannot be read, is not UTF-8 text or has more than 64 KiB. A relative path begins at the folder of the config file."

    Interpolation "P0219" Error "Unfinished ${...}"
    "`${` begins a reference to an environment variable, `${NAME}` or `${NAME:-value}`, or to a file, `${file:PATH}`. The name is letters, digits and `_`; the closing brace must be there. Text that should hold `${` is written `$${`."

    Zero "P0220" Error "Zero where it means nothing"
    "With this duration or size at zero nothing could ever succeed: no time to connect, no bytes for a request head, probes without a pause. Leave the key out to get its default."

    SourceName "P0221" Error "Not the name of a source"
    "The name of a source has 1 to 63 of `a-z`, `0-9` and `-`, so that it can stand in a metric and behind the `@` of `service = \"orders@NAME\"`. `registry` means the instances that register here."

    ServerUrl "P0222" Error "Not a URL of a server"
    "A server that a source asks is named by a URL: `http` or `https`, a host, a port unless it is the usual one, and a path if there is one; no query. User and password stand before the host: `\"http://user:password@registry.example:8761/eureka\"`."

    ServerAddress "P0223" Error "Not an address of a server"
    "A server of an ensemble is named by host and port, without a scheme: `\"10.0.0.1:2181\"`, `\"[fd00::5]:2181\"`, `\"zk1.internal:2181\"`."

    NodePath "P0224" Error "Not a path of a node"
    "The path of a node of ZooKeeper begins with `/` and does not end with it: `\"/services\"`, or `\"/\"` for the root. No name in it is empty, `.` or `..`."

    KeyTemplate "P0225" Error "Not a form of keys"
    "Where entries stand is said by segments between `/`: `{service}`, `{id}`, `*` for one that does not matter, or a plain word. `{id}` is there once and last: `\"{service}/{id}\"`, `\"{service}/nodes/{id}\"`, `\"{id}\"`."

    JsonPointer "P0226" Error "Not a JSON pointer"
    "A place in a JSON value is said by the keys that lead to it, each after a `/` (RFC 6901): `\"/meta/port\"`. `\"\"` is the whole value."

    DnsQuestion "P0227" Error "Not a name to look up"
    "A source of the kind `dns` looks up the addresses of a name, whose port is given (`\"orders.internal:8080\"`), or SRV records, which bring theirs (`\"_http._tcp.orders.internal\"`)."

    DocumentUrl "P0228" Error "Not a URL of a document"
    "What a source of the kind `http` reads is named by a URL: `http` or `https`, a host, a port unless it is the usual one, path and query. User and password stand before the host: `\"https://user:password@inventory.example/instances?env=prod\"`."

    RouteToNowhere "P0301" Error "Route leads nowhere"
    "A route names the `service` that answers, or a `redirect`. This one has neither."

    RouteToTwo "P0302" Error "Route leads to two places"
    "A route names the `service` that answers, or a `redirect`. This one has both, and only one answer can be given."

    RouteName "P0303" Error "Two routes with one name"
    "Names of routes stand in logs, metrics and `portolan explain`, so each may be there once. Routes without a `name` are called after host and path, and are told apart by themselves."

    UndeclaredService "P0304" Warning "Nothing is declared under this name"
    "The route leads to a service without a `[service.NAME]` section. That is fine if instances register under the name; until then the route answers 503. An empty section says that it is meant, and takes the warning away."

    RouteNeverMatches "P0305" Warning "Route can never match"
    "An earlier route has the same host, path, methods and headers. Of two equal routes the first in the file wins, so this one gets no request."

    RedirectRewrites "P0306" Error "Rewriting with a redirect"
    "`strip_prefix` and `add_prefix` change the path that a service sees. A redirect sends the client elsewhere and no service sees the request; write the path into `redirect.to`."

    SameAddress "P0307" Error "Two listeners with one address"
    "Each listener, and each front, needs an address of its own. A listener on every address of the machine (`0.0.0.0`) also holds the port on each single one."

    AdminAddress "P0308" Error "Listener at the admin address"
    "Clients must not reach the admin API, so it needs an address of its own."

    NoListener "P0309" Error "No listener"
    "The list of listeners is empty: nobody could connect. Leave `listener` out to listen at the default address."

    AdminExposed "P0310" Error "Admin address open to other machines"
    "Whoever reaches the admin address can change where requests go. Off the loopback interface that takes tokens and encryption: `[[admin.token]]` and `tls` in `[admin]`. Listen on 127.0.0.1, or, where the network is trusted or a TLS proxy stands in front, say `insecure = true` in `[admin]`."

    TokenServices "P0311" Error "Token may register nothing"
    "A token of scope `register` may register the services that its `services` list names (`\"*\"` stands for all). Without the list it could do no more than one of scope `read`."

    TokenName "P0312" Error "Two tokens with one name"
    "The name of a token says in logs who changed something, so each may be there once."

    ManagedHeader "P0313" Error "Header that the proxy looks after"
    "Headers that frame a message or belong to one connection (`Connection`, `Transfer-Encoding`, `Content-Length` and the like) follow from the message, and an edit would make two servers read it in two ways. `Host` may be set on requests but not removed, since every request must have one."

    SlowProbe "P0314" Warning "Probe may outlast its interval"
    "The timeout of a probe is longer than the time from one probe to the next. A probe is never begun while one is under way, so a slow instance is probed less often than the interval says, and its failure is found later."

    NoEffect "P0315" Warning "Setting without effect"
    "Another setting of the same table makes this one meaningless: the path of a TCP probe, say, or the services of a token that may do everything."

    OwnAddress "P0316" Error "Endpoint is the proxy itself"
    "A fixed endpoint has the address of one of our own listeners, so requests would go round in circles, or reach the admin API."

    SameEndpoint "P0317" Warning "Endpoint listed twice"
    "A service lists an address once; a second time changes nothing. To give one instance more requests than another, register it with a weight."

    TlsFiles "P0330" Error "Certificate, key or CA cannot be used"
    "A file is not there, may not be read, is not PEM, or a key is not that of its certificate. Nothing is served without: a listener that cannot ask clients for a certificate as it should must not do without one. `portolan cert dev` makes files to try things out."

    CertificateTime "P0331" Warning "Certificate expires soon, or does not hold"
    "Clients refuse a certificate before and after its time. Fewer than 14 days are left, or the clock of this machine is wrong. Changed files are taken over as they are written, without a reload."

    CertificateNames "P0332" Warning "Certificate without a name"
    "Clients compare the host of a URL with the subject alternative names of the certificate and with nothing else, so one without is refused by all of them. It is still shown to those that ask for no name."

    KeyForAll "P0333" Warning "Every user may use the key"
    "The permissions of a private key let every user of the machine read it, and with it pass as this server. `chmod o=` takes that away."

    RedirectCircle "P0334" Error "Redirect to itself"
    "`redirect_to_https` is for a listener in the clear beside the one that speaks TLS. On one that speaks TLS, clients would be sent from https to https without end."

    Unverified "P0335" Warning "Instances are not verified"
    "With `verify = false` whoever answers at the address of an instance is taken for it, so encryption keeps out only those who do no more than listen. Name the CA of the instances as `ca`; `server_name` is for instances that have a certificate for another name than that of their address."

    NoIssuer "P0336" Error "Nobody to obtain certificates from"
    "`acme` in the `tls` of a listener names what certificates are obtained for. From whom is said in `[acme]`, and there are no certificates without an account, for which the terms of the CA have to be accepted: `accept_terms = true`."

    Misfit "P0337" Error "Protocol does not fit the address"
    "`h2` is HTTP/2 over TLS, agreed on in the handshake, and takes instances whose address begins with `https://`. `h2c` is HTTP/2 in the clear, for all others. A service speaks one protocol to all of its instances."

    SameSource "P0350" Error "Two sources with one name"
    "A source is called after its kind unless it has a `name`, and what it says is kept under that name. Of several of one kind all but one need a `name`."

    UnknownSource "P0351" Error "No source of this name"
    "`service = \"orders@east\"` means those instances of `orders` that the source `east` has, and no `[[source]]` is called that."

    FrontExposed "P0360" Error "Front open to other machines"
    "Whoever reaches a front can register instances, and so get the requests of others. Off the loopback interface that takes tokens and encryption: `[[front.token]]` and `tls` in `[[front]]`. Clients send a token as the password of their URL, as `X-Consul-Token` or as `?token=`. Listen on 127.0.0.1, or, where the network is trusted or a TLS proxy stands in front, say `insecure = true`."

    SilentFront "P0361" Error "Front without a language"
    "A front answers nothing unless it is told what to speak: `eureka = true`, `consul = true`, or both."

    RegistryNowhere "P0370" Error "Nothing says which etcd the registry is in"
    "With `backend = \"etcd\"` the registry is in an etcd cluster, for all proxies that use it. `[registry.etcd]` names its members: `endpoints = [\"http://10.0.0.1:2379\", \"http://10.0.0.2:2379\"]`. A proxy never starts with a registry of its own in its place."

    RegistryElsewhere "P0371" Warning "An etcd that the registry is not in"
    "`[registry.etcd]` says where a shared registry would be, and `registry.backend` is `\"embedded\"`: this proxy keeps what registers for itself, and shares it with nobody. Say `backend = \"etcd\"`, or take the section out."
}

impl Code {
    /// The code written as `text`, in upper or lower case.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The page of all codes, in Markdown.
#[must_use]
pub fn codes_page() -> String {
    let mut page = String::from(
        "# Diagnostics\n\nWhat `portolan check` can find. `portolan help P0101` prints one entry. \
         An error keeps the file from taking effect; a warning does not.\n\n\
         This page is made from the program; a test holds it.\n",
    );
    for code in Code::ALL {
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            "\n## {code}\n\n**{}** ({})\n\n{}\n",
            code.title(),
            code.severity(),
            code.explanation()
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_each_is_there_once() {
        assert!(Code::ALL.windows(2).all(|pair| pair[0].as_str() < pair[1].as_str()));
        assert_eq!(Code::find("p0101"), Some(Code::UnknownKey));
        assert_eq!(Code::find("P9999"), None);
    }
}
