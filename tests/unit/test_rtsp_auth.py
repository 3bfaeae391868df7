"""Basic and Digest to the byte, against the examples of the standards, and when to give up."""

from harness import eq, raises
from protocol_error import ProtocolError
from rtsp_auth import Authentication

URI = "rtsp://h/live"


def fixed_bytes(n):
    return bytes(range(n))


def authentication(user="admin", password="12345"):
    return Authentication(user, password, fixed_bytes)


def challenge(*values):
    return [("cseq", "1")] + [("www-authenticate", value) for value in values]


def answer(*values, user="admin", password="12345", method="DESCRIBE", uri=URI):
    """The Authorization for a request after this challenge."""
    auth = authentication(user, password)
    auth.challenged(challenge(*values))
    (pair,) = auth.headers(method, uri)
    eq(pair[0], "Authorization")
    return pair[1]


def test_nothing_is_said_unasked():
    eq(authentication().headers("DESCRIBE", URI), ())


def test_basic():
    eq(
        answer('Basic realm="x"', user="Aladdin", password="open sesame"),
        "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
    )
    eq(answer("Basic", user="test", password="123\u00a3"), "Basic dGVzdDoxMjPCow==")


def test_digest_as_in_rfc_2069():
    eq(
        answer(
            'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",'
            ' opaque="5ccc069c403ebaf9f0171e9517f40e41"',
            user="Mufasa",
            password="CircleOfLife",
            method="GET",
            uri="/dir/index.html",
        ),
        'Digest username="Mufasa", realm="testrealm@host.com",'
        ' nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html",'
        ' response="1949323746fe6a43ef61f9606e7febea", opaque="5ccc069c403ebaf9f0171e9517f40e41"',
    )


class Rfc2617(Authentication):
    """The client of that example."""

    def __init__(self):
        super().__init__("Mufasa", "Circle Of Life", lambda n: b"\x0a\x4f\x11\x3b")


def test_digest_with_qop_as_in_rfc_2617():
    auth = Rfc2617()
    auth.challenged(
        challenge(
            'Digest realm="testrealm@host.com", qop="auth,auth-int",'
            ' nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
        )
    )
    eq(
        auth.headers("GET", "/dir/index.html")[0][1],
        'Digest username="Mufasa", realm="testrealm@host.com",'
        ' nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", uri="/dir/index.html", qop=auth, nc=00000001,'
        ' cnonce="0a4f113b", response="6629fae49393a05397450978507c4ef1",'
        ' opaque="5ccc069c403ebaf9f0171e9517f40e41"',
    )
    assert "nc=00000002" in auth.headers("GET", "/dir/index.html")[0][1]


def test_the_best_way_is_chosen():
    basic, digest = 'Basic realm="b"', 'Digest realm="d", nonce="n", algorithm=MD5'
    sha = 'Digest realm="s", nonce="m", algorithm=SHA-256'
    for values in (
        (digest,),
        (basic, digest),
        (sha, digest),
        (sha + ", " + digest + ", " + basic,),
        ("Negotiate", basic + ", " + digest),
        ('dIGEST  Realm = "d" ,NONCE= n,Algorithm=md5',),
    ):
        value = answer(*values)
        assert 'realm="d", nonce="n"' in value and value[-15:] == ", algorithm=MD5", (values, value)
    for values in ((basic, sha), (sha, basic), ('Digest qop="auth-int", nonce=n', basic)):
        eq(answer(*values)[:6], "Basic ")


def test_commas_and_quotes_within_quotes():
    value = answer('Digest realm="a, b=\\"c\\"", nonce="x=,y"')
    assert 'realm="a, b=\\"c\\"", nonce="x=,y"' in value, value
    value = answer('Digest realm="d", nonce="n"', user='a"b\\c')
    assert 'username="a\\"b\\\\c"' in value, value


def test_no_way_we_know():
    for values in (
        (),
        ("",),
        ("Negotiate",),
        ('Digest realm="d", nonce="n", algorithm=SHA-256',),
        ("Bearer x=y",),
    ):
        error = raises(ProtocolError, answer, *values)
        assert "neither Basic nor Digest" in str(error), error


def test_without_a_user():
    auth = authentication("", "")
    error = raises(ProtocolError, auth.challenged, challenge('Basic realm="x"'))
    assert str(error) == "RTSP: 401, the camera asks for a user and a password", error


def fresh(nonce, stale=None):
    return challenge(
        'Digest realm="d", nonce="%s"%s' % (nonce, ", stale=" + stale if stale else "")
    )


def test_a_wrong_password_is_sent_once():
    for second in (fresh("n"), fresh("other"), fresh("other", "false"), challenge("Basic")):
        auth = authentication(password="hunter2")
        auth.challenged(fresh("n"))
        auth.headers("DESCRIBE", URI)
        error = str(raises(ProtocolError, auth.challenged, second))
        assert "401" in error and "hunter2" not in error and "admin" not in error, error


def test_a_nonce_that_grew_old_is_replaced():
    auth = authentication()
    auth.challenged(fresh("one"))
    auth.challenged(fresh("two", "TRUE"))
    assert 'nonce="two"' in auth.headers("PLAY", URI)[0][1]
    auth.accepted()
    auth.challenged(fresh("three"))  # without a word, yet the password was good before
    assert 'nonce="three"' in auth.headers("PLAY", URI)[0][1]
    raises(ProtocolError, auth.challenged, fresh("four"))


def test_a_server_that_never_has_enough():
    auth = authentication()
    for n in range(3):
        auth.challenged(fresh("n%d" % n, "true"))
    assert "again and again" in str(raises(ProtocolError, auth.challenged, fresh("n", "true")))


def test_another_connection_begins_anew():
    auth = authentication()
    auth.challenged(fresh("one"))
    auth.restart()
    eq(auth.headers("DESCRIBE", URI), ())
    auth.challenged(fresh("two"))


def test_garbage_for_a_challenge():
    for value in (
        "=",
        ",,,",
        '"',
        'Digest "',
        "Digest ==,=",
        'Digest realm="',
        "Digest nonce",
        "\xff" * 50,
    ):
        try:
            answer(value)
        except ProtocolError:
            pass
