//! Every code is produced by some file, at the place it is about.

use std::collections::BTreeSet;

use super::*;

/// Code, line and column.
type Found = (&'static str, u32, u32);

/// A file, and what is found in it.
const FILES: &[(&str, &[Found])] = &[
    ("adress = 1", &[("P0101", 1, 1)]),
    ("workers = \n", &[("P0102", 1, 11)]),
    ("workers = 1\nworkers = 2", &[("P0103", 2, 1)]),
    (
        "[service.a]\n[[route]]\nservice = 'a'\nheader = { X-A = '1', x-a = '2' }",
        &[("P0103", 4, 23)],
    ),
    ("workers = true", &[("P0104", 1, 11)]),
    ("[[admin.token]]\nname = 'a'\nscope = 'read'", &[("P0105", 1, 1)]),
    ("shutdown_timeout = 'soon'", &[("P0201", 1, 20)]),
    ("[[listener]]\nmax_head_size = '64K'", &[("P0202", 2, 17)]),
    ("[service.a]\nendpoints = ['10.0.0.1']", &[("P0203", 2, 14)]),
    ("[admin]\naddress = 'localhost'", &[("P0204", 2, 11)]),
    ("[[listener]]\ntrusted_proxies = ['10.0.0.1']", &[("P0205", 2, 20)]),
    ("[service.Orders]", &[("P0206", 1, 10)]),
    ("[admin]\nallowed_hosts = ['http://a']", &[("P0207", 2, 18)]),
    ("[defaults]\nhealth.path = 'healthz'", &[("P0208", 2, 15)]),
    ("[service.a]\n[[route]]\nservice = 'a'\nheader = { 'X A' = '1' }", &[("P0209", 4, 12)]),
    ("[service.a]\n[[route]]\nservice = 'a'\nmethod = 'get'", &[("P0210", 4, 10)]),
    ("[defaults]\nhealth.expect_status = '2xx'", &[("P0211", 2, 24)]),
    ("[[admin.token]]\nname = 'a'\nscope = 'read'\nsha256 = 'abc'", &[("P0212", 4, 10)]),
    ("[[route]]\nredirect = { to = 'ftp://a' }", &[("P0213", 2, 19)]),
    ("[telemetry]\nlog = 'jsn'", &[("P0214", 2, 7)]),
    ("workers = 0", &[("P0215", 1, 11)]),
    ("workers = 99999999999999999999", &[("P0215", 1, 11)]),
    ("[[route]]\nname = ''\nredirect = { to = '/' }", &[("P0216", 2, 8)]),
    ("[[route]]\nname = \"a\\nb\"\nredirect = { to = '/' }", &[("P0216", 2, 8)]),
    ("[registry]\ndata_dir = '${NOPE}'", &[("P0217", 2, 13)]),
    ("[registry]\ndata_dir = '${file:nope}'", &[("P0218", 2, 13)]),
    ("[registry]\ndata_dir = '${NOPE'", &[("P0219", 2, 13)]),
    ("[registry]\ndata_dir = '${NO PE}'", &[("P0219", 2, 13)]),
    (
        "[defaults]\nhealth.interval = '0s'\nhealth.timeout = '0s'",
        &[("P0220", 2, 19), ("P0220", 3, 18)],
    ),
    ("[defaults]\ntimeouts.connect = '0s'", &[("P0220", 2, 20)]),
    ("[[listener]]\nidle_timeout = '0s'", &[("P0220", 2, 16)]),
    ("[defaults]\ntimeouts.request = '0s'", &[]),
    ("[[route]]", &[("P0301", 1, 1)]),
    ("[[route]]\npath = '/{service}'", &[]),
    ("[[route]]\npath = '/{service}'\nservices = ['a-*']", &[]),
    ("[[route]]\npath = '/{servcie}'\nservice = 'a'\n[service.a]", &[("P0208", 2, 8)]),
    ("[[route]]\nhost = '{service}.x'\nservice = 'a'\n[service.a]", &[("P0302", 3, 1)]),
    ("[[route]]\nservice = 'a'\nservices = ['a']\n[service.a]", &[("P0315", 3, 1)]),
    ("[service.a]\n[[route]]\nservice = 'a'\nredirect = { to = '/' }", &[("P0302", 4, 1)]),
    (
        "[service.a]\n[[route]]\nname = 'x'\nservice = 'a'\n[[route]]\nname = 'x'\npath = '/b'\nservice = 'a'",
        &[("P0303", 6, 8)],
    ),
    ("[[route]]\nservice = 'a'", &[("P0304", 2, 11)]),
    (
        "[service.a]\n[[route]]\nhost = ['a', 'b']\nservice = 'a'\n[[route]]\nhost = 'B.'\nservice = 'a'",
        &[("P0305", 5, 1)],
    ),
    ("[service.a]\n[[route]]\nservice = 'a'\n[[route]]\nmethod = 'GET'\nservice = 'a'", &[]),
    ("[[route]]\nredirect = { to = '/' }\nstrip_prefix = true", &[("P0306", 3, 1)]),
    ("[[route]]\nredirect = { to = '/' }\nadd_prefix = '/x'", &[("P0306", 3, 1)]),
    ("[[listener]]\naddress = ':80'\n[[listener]]\naddress = '127.0.0.1:80'", &[("P0307", 4, 11)]),
    ("[[listener]]\naddress = '[::1]:0'\n[[listener]]\naddress = '[::1]:0'", &[]),
    ("[[listener]]\naddress = '127.0.0.1:9900'", &[("P0308", 2, 11)]),
    ("listener = []", &[("P0309", 1, 12)]),
    ("[admin]\naddress = ':9900'", &[("P0310", 2, 11)]),
    ("[registry]\nbackend = 'etcd'", &[("P0370", 2, 11)]),
    ("[registry]\nbackend = 'etcd'\netcd = { endpoints = [] }", &[("P0370", 3, 22)]),
    ("[registry.etcd]\nendpoints = ['http://a:1']", &[("P0371", 1, 11)]),
    (
        "[registry]\nbackend = 'etcd'\n[registry.etcd]\nendpoints = ['http://a:1']\n\
         prefix = '/'\nmissing_for = '0s'",
        &[("P0216", 5, 10), ("P0220", 6, 15)],
    ),
    ("[[front]]\naddress = ':8761'\neureka = true", &[("P0360", 2, 11)]),
    ("[[front]]\naddress = ':8761'\neureka = true\ninsecure = true", &[]),
    ("[[front]]\nread = true", &[("P0361", 1, 1)]),
    ("[[front]]\naddress = '127.0.0.1:9900'\neureka = true", &[("P0307", 2, 11)]),
    ("[[front]]\neureka = true\n[[front]]\nconsul = true", &[("P0307", 3, 1)]),
    ("[[front]]\neureka = true\ndatacenter = 'a'", &[("P0315", 3, 1)]),
    (
        "[[front]]\neureka = true\n[[front.token]]\nname = 'a'\nsha256 = '2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae'\nscope = 'register'",
        &[("P0311", 6, 9)],
    ),
    ("[admin]\naddress = ':9900'\ninsecure = true", &[]),
    (
        "[[admin.token]]\nname = 'a'\nsha256 = '2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae'\nscope = 'register'",
        &[("P0311", 4, 9)],
    ),
    (
        "[[admin.token]]\nname = 'a'\nsha256 = '2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae'\nscope = 'read'\n\
         [[admin.token]]\nname = 'a'\nsha256 = '2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae'\nscope = 'admin'\nservices = ['*']",
        &[("P0312", 6, 8), ("P0315", 9, 1)],
    ),
    (
        "[service.a]\n[[route]]\nservice = 'a'\nrequest_headers.set = { Host = 'a', TE = 'x' }\nresponse_headers.remove = ['Content-Length']",
        &[("P0313", 4, 37), ("P0313", 5, 28)],
    ),
    ("[service.a]\nhealth.timeout = '6s'", &[("P0314", 2, 18)]),
    ("[defaults]\nhealth.interval = '9s'\n[service.a]\nhealth.timeout = '6s'", &[]),
    (
        "[service.a]\nhealth = { kind = 'tcp', path = '/x', expect_body = 'ok' }",
        &[("P0315", 2, 26), ("P0315", 2, 39)],
    ),
    ("[defaults]\nendpoints = ['a:1']", &[("P0315", 2, 1)]),
    (
        "[service.a]\nretry = { attempts = 0, on_status = [503], budget_floor = 1 }",
        &[("P0315", 2, 25), ("P0315", 2, 44)],
    ),
    ("[service.a]\nretry = { buffer = '1KiB' }", &[("P0315", 2, 11)]),
    ("[defaults]\nretry.methods = ['PUT']\n[service.a]\nretry = { buffer = '1KiB' }", &[]),
    ("[service.a]\nretry = { methods = ['POST'] }", &[("P0214", 2, 22)]),
    (
        "[service.a]\nretry = { on_status = [200], budget_percent = 101 }",
        &[("P0215", 2, 24), ("P0215", 2, 47)],
    ),
    ("[[route]]\nredirect = { to = '/' }\ntimeout = '1s'", &[("P0315", 3, 1)]),
    ("[service.a]\nendpoints = ['127.0.0.1:8080']", &[("P0316", 2, 14)]),
    ("[service.a]\nendpoints = ['a:1', 'http://a:1']", &[("P0317", 2, 21)]),
    ("[[listener]]\ntls = { certificates = [] }", &[("P0330", 2, 7)]),
    (
        "[[listener]]\nredirect_to_https = true\ntls = { certificates = [{ cert = '/-', key = '/-' }] }",
        &[("P0334", 2, 21), ("P0330", 3, 7)],
    ),
    ("[[listener]]\ntls = { acme = ['a.example'] }", &[("P0336", 2, 16)]),
    (
        "[acme]\naccept_terms = false\n[[listener]]\ntls = { acme = ['a.example'] }",
        &[("P0336", 2, 16)],
    ),
    ("[acme]\naccept_terms = true\n[[listener]]\ntls = { acme = ['a.example'] }", &[]),
    (
        "[acme]\naccept_terms = true\n[[listener]]\ntls = { acme = ['*.example'] }",
        &[("P0207", 4, 17)],
    ),
    ("[service.a]\nprotocol = 'h2'\nendpoints = ['http://a:1']", &[("P0337", 3, 14)]),
    ("[service.a]\nprotocol = 'h2c'\nendpoints = ['http://a:1']", &[]),
    ("[service.a]\ntls = { ca = '/-' }", &[("P0330", 2, 7)]),
    ("[service.a]\ntls = { cert = '/-' }", &[("P0330", 2, 7)]),
    ("[service.a]\ntls = { verify = false }", &[("P0335", 2, 18)]),
    ("[[source]]\npath = 'a'", &[("P0105", 1, 1)]),
    ("[[source]]\nkind = 'file'", &[("P0105", 1, 1)]),
    ("[[source]]\nkind = 'fiel'\npath = 'a'", &[("P0214", 2, 8)]),
    ("[[source]]\nkind = 'file'\npaht = 'a'\npath = 'a'", &[("P0101", 3, 1)]),
    ("[[source]]\nkind = 'file'\nname = 'A'\npath = 'a'", &[("P0221", 3, 8)]),
    ("[[source]]\nkind = 'http'\nurl = 'localhost:8500'", &[("P0228", 3, 7)]),
    ("[[source]]\nkind = 'dns'\nservices = { a = 'b' }", &[("P0227", 3, 18)]),
    ("[[source]]\nkind = 'file'\ninterval = '0s'\npath = 'a'", &[("P0220", 3, 12)]),
    ("[[source]]\nkind = 'eureka'\nurls = ['http://a']\ninterval = '0s'", &[("P0220", 4, 12)]),
    ("[[source]]\nkind = 'consul'\nurl = 'localhost:8500'", &[("P0222", 3, 7)]),
    (
        "[[source]]\nkind = 'zookeeper'\nservers = ['http://a:1']\nlayout = 'json'\npath = 'a'",
        &[("P0223", 3, 12), ("P0224", 5, 8)],
    ),
    (
        "[[source]]\nkind = 'zookeeper'\nservers = ['a:1']\nlayout = 'json'\nsession_timeout = '0s'",
        &[("P0220", 5, 19)],
    ),
    (
        "[[source]]\nkind = 'etcd'\nendpoints = ['http://a:1']\nlayout = 'json'\nkey = '{service}'\n\
         fields.port = 'port'",
        &[("P0225", 5, 7), ("P0226", 6, 15)],
    ),
    (
        "[[source]]\nkind = 'file'\npath = 'a'\n[[source]]\nkind = 'file'\npath = 'b'",
        &[("P0350", 5, 8)],
    ),
    (
        "[[source]]\nkind = 'file'\npath = 'a'\n[[source]]\nkind = 'file'\nname = 'b'\npath = 'b'",
        &[],
    ),
    (
        "[[source]]\nkind = 'file'\npath = 'a'\n[service.'a@fil']\n[[route]]\nservice = 'a@b'",
        &[("P0351", 4, 10), ("P0351", 6, 11)],
    ),
    ("[[source]]\nkind = 'file'\npath = 'a'\n[[route]]\nservice = 'a@file'", &[]),
];

#[test]
fn each_mistake_gets_its_code_at_its_place() {
    for (text, expected) in FILES {
        assert_eq!(super::found(text), *expected, "{text}");
    }
}

#[test]
fn every_code_is_produced() {
    let mut seen: BTreeSet<Code> = FILES
        .iter()
        .flat_map(|(_, found)| found.iter())
        .filter_map(|(code, ..)| Code::find(code))
        .collect();
    seen.extend([unreadable(), writable_by_all(), refused_by_serde()]);
    seen.extend(certificates());
    let missing: Vec<_> = Code::ALL.iter().filter(|code| !seen.contains(code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn unreadable() -> Code {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = load(&folder.path().join("proxy.toml")).expect_err("not there");
    assert!(missing.render(false).contains("cannot read"), "{}", missing.render(false));
    let path = folder.path().join("latin1.toml");
    std::fs::write(&path, b"# \xe9\n").expect("written");
    load(&path).expect_err("not UTF-8").diagnostics[0].code
}

fn writable_by_all() -> Code {
    use std::os::unix::fs::PermissionsExt;
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut permissions = file.as_file().metadata().expect("metadata").permissions();
    permissions.set_mode(0o666);
    file.as_file().set_permissions(permissions).expect("set");
    let loaded = load(file.path()).expect("a warning only");
    assert!(loaded.report().render(false).contains("chmod o-w"));
    loaded.warnings[0].code
}

/// A certificate that has expired, has no name, and whose key is for all.
fn certificates() -> Vec<Code> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let cert = params.self_signed(&key).expect("a certificate");
    std::fs::write(path("a.pem"), cert.pem()).expect("written");
    std::fs::write(path("a.key"), key.serialize_pem()).expect("written");
    let permissions = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(path("a.key"), permissions).expect("set");
    let (cert, key) = (path("a.pem"), path("a.key"));
    let text =
        format!("[[listener]]\ntls = {{ certificates = [{{ cert = {cert:?}, key = {key:?} }}] }}");
    let loaded = crate::config::parse(&text, "proxy.toml", &|_| None).expect("warnings only");
    let codes: Vec<_> = loaded.warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [Code::CertificateTime, Code::CertificateNames, Code::KeyForAll]);
    codes
}

/// The schema lets nothing pass that serde refuses, as far as is known, so
/// this is made by hand.
fn refused_by_serde() -> Code {
    let text = "workers = 0";
    let root = syntax::parse(text).root;
    let tree = Tree::new(text, root.clone(), Default::default(), Default::default());
    let error = Config::deserialize(toml::de::Deserializer::from(root)).expect_err("zero");
    let found = super::super::refused(&error, &tree);
    assert_eq!(found.span, Some(10..11));
    found.code
}
