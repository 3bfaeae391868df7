"""TLS servers on loopback with fixed P-256 certificates, on either interpreter."""

import ssl
import sys
from binascii import a2b_base64, b2a_base64

from harness import tmp_dir

# The root that signed the server certificates
CA = a2b_base64(
    b"MIIBVzCB/qADAgECAgEBMAoGCCqGSM49BAMCMBIxEDAOBgNVBAMMB1Rlc3QgQ0EwHhcNMjAwMTAxMDAwMDAwWhcN"
    b"NDkxMjMxMDAwMDAwWjASMRAwDgYDVQQDDAdUZXN0IENBMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqK7BGGFM"
    b"UyW9FwZ3ivDMGc7ZuSxxATSiQmTIG7mKRZV59o0EqnKWYnvRDN66ExNBviyHQMynMjfq5m3PGlMEA6NFMEMwEgYD"
    b"VR0TAQH/BAgwBgEB/wIBADAOBgNVHQ8BAf8EBAMCAQYwHQYDVR0OBBYEFLgCFc+irjUfesCcj681Nf6vc5W/MAoG"
    b"CCqGSM49BAMCA0gAMEUCIQDQ630bRg8zEshbDA4Pe9memc+kBU6FIGebfpMaVVNdvwIgfaTle5kdBaiyCahxWGPX"
    b"XWMl1XjN+eNM+EfLgHB4YZ0="
)

# A root that signed nothing here
OTHER_CA = a2b_base64(
    b"MIIBWjCCAQCgAwIBAgIBATAKBggqhkjOPQQDAjATMREwDwYDVQQDDAhPdGhlciBDQTAeFw0yMDAxMDEwMDAwMDBa"
    b"Fw00OTEyMzEwMDAwMDBaMBMxETAPBgNVBAMMCE90aGVyIENBMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7HC8"
    b"WEBhjNBP2+wy08JtzogcYU7AnRPQBkayKvX4PMvlPxnsz6xulqAbcwfy00qsGat2829GWqH2nZcjo88BFKNFMEMw"
    b"EgYDVR0TAQH/BAgwBgEB/wIBADAOBgNVHQ8BAf8EBAMCAQYwHQYDVR0OBBYEFIaelndHun58F9ZA26GQ9fPHfjuj"
    b"MAoGCCqGSM49BAMCA0gAMEUCIQDY6aID7n4UXtwtZQERZfC7YuM/1kcJOhTCCtRh9X8h+wIgLPBJKk9BFfFglZMj"
    b"MfMSdFt0PaOPyBJrLSFZ9v3PxB8="
)

# For localhost, 2020 to 2049
SERVER = a2b_base64(
    b"MIIBcjCCARegAwIBAgIBAjAKBggqhkjOPQQDAjASMRAwDgYDVQQDDAdUZXN0IENBMB4XDTIwMDEwMTAwMDAwMFoX"
    b"DTQ5MTIzMTAwMDAwMFowFDESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqPE0"
    b"e16Fsp6f7RIBnqoLlo+8M4nxNXK395i+JlwBLTTzhWROxdAD8NYYCVAvAASE8gzttwU0DiGIP/+ylzgfCqNcMFow"
    b"DAYDVR0TAQH/BAIwADAUBgNVHREEDTALgglsb2NhbGhvc3QwHwYDVR0jBBgwFoAUuAIVz6KuNR96wJyPrzU1/q9z"
    b"lb8wEwYDVR0lBAwwCgYIKwYBBQUHAwEwCgYIKoZIzj0EAwIDSQAwRgIhAKQhN3VOizBM1mJkRtpyWF6ejDSWUm3D"
    b"bzTCKj5yvqJlAiEAvsdABzIA0UcFDL20oChg+rnFTe8oc2HE0cOqpMQs2uY="
)

# For localhost, the year 2020
EXPIRED = a2b_base64(
    b"MIIBcjCCARegAwIBAgIBAzAKBggqhkjOPQQDAjASMRAwDgYDVQQDDAdUZXN0IENBMB4XDTIwMDEwMTAwMDAwMFoX"
    b"DTIxMDEwMTAwMDAwMFowFDESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqPE0"
    b"e16Fsp6f7RIBnqoLlo+8M4nxNXK395i+JlwBLTTzhWROxdAD8NYYCVAvAASE8gzttwU0DiGIP/+ylzgfCqNcMFow"
    b"DAYDVR0TAQH/BAIwADAUBgNVHREEDTALgglsb2NhbGhvc3QwHwYDVR0jBBgwFoAUuAIVz6KuNR96wJyPrzU1/q9z"
    b"lb8wEwYDVR0lBAwwCgYIKwYBBQUHAwEwCgYIKoZIzj0EAwIDSQAwRgIhAL1AnA3CmqL5VovHgOjlvPtzJ243fpMR"
    b"A5l5UdHNCZDMAiEA8gz7Tcm87HFVf18sZtSLJk5atO++n3H70ktcnRgkWik="
)

# The servers' private key (PKCS 8): a test key, nobody's secret
KEY = a2b_base64(
    b"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgBQasJgeMGQi7B66ljQIVHN4a9msP1ikHAcWhOGbw"
    b"GAihRANCAASo8TR7XoWynp/tEgGeqguWj7wzifE1crf3mL4mXAEtNPOFZE7F0APw1hgJUC8ABITyDO23BTQOIYg/"
    b"/7KXOB8K"
)


def _saved(label, der):
    """The path of a new file: DER for MicroPython, PEM for CPython, which reads nothing else."""
    path = tmp_dir() + "/credential"
    with open(path, "wb") as file:
        if sys.implementation.name == "micropython":
            file.write(der)
        else:
            text = b"-----BEGIN %s-----\n%s-----END %s-----\n"
            file.write(text % (label, b2a_base64(der), label))
    return path


def context(certificate):
    """A server's SSLContext with one of the certificates above."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(_saved(b"CERTIFICATE", certificate), _saved(b"PRIVATE KEY", KEY))
    return made
