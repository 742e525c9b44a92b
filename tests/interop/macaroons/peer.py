"""The pymacaroons end of a conversation about tokens, led by `cargo xtask interop pymacaroons`.

usage: peer.py mint < /dev/null      prints tokens minted here, in every form there is
       peer.py check < tokens        verifies tokens, narrows each, prints the narrowed ones

Tokens travel as a JSON list of {"form", "root", "token", "identifier", "caveats"}, every
byte string in hexadecimal. `caveats` is what the token must be found to say.
"""

import base64
import json
import sys

from pymacaroons import MACAROON_V1, MACAROON_V2, Macaroon, Verifier
from pymacaroons.exceptions import MacaroonException
from pymacaroons.serializers import BinarySerializer, JsonSerializer

ROOT = bytes(range(32))
# Version 0, a payment hash and a token id, none of which is text.
IDENTIFIER = bytes([0, 0, *range(128, 192)])
# As lsat-js writes it; V1 carries nothing but text.
TEXT_IDENTIFIER = IDENTIFIER.hex().encode()
CAVEATS = (b"services=weather:0", b"weather_valid_until=4000000000")
NARROWER = b"path_prefix=/paris"


def mint() -> list[dict]:
    v2 = new(IDENTIFIER, MACAROON_V2)
    text = new(TEXT_IDENTIFIER, MACAROON_V2)
    v1 = new(TEXT_IDENTIFIER, MACAROON_V1)
    return [
        sample("V2 binary", ROOT, v2, binary(v2)),
        sample("V2 JSON", ROOT, v2, JsonSerializer().serialize(v2).encode()),
        sample("V2 JSON of text", ROOT, text, JsonSerializer().serialize(text).encode()),
        sample("V1 binary", ROOT, v1, binary(v1)),
    ]


def check(samples: list[dict]) -> list[dict]:
    narrowed = []
    for given in samples:
        root, token = bytes.fromhex(given["root"]), bytes.fromhex(given["token"])
        macaroon = Macaroon.deserialize(base64.urlsafe_b64encode(token).decode())
        wanted = (given["identifier"], given["caveats"])
        found = (macaroon.identifier_bytes.hex(), caveats(macaroon))
        if found != wanted:
            sys.exit(f"{given['form']}: reads {found}, not {wanted}")
        if not holds(macaroon, root):
            sys.exit(f"{given['form']}: does not verify")
        if holds(macaroon, root[::-1]):
            sys.exit(f"{given['form']}: verifies under another root key")
        macaroon.add_first_party_caveat(NARROWER)
        narrowed.append(sample(f"{given['form']}, narrowed", root, macaroon, binary(macaroon)))
    return narrowed


def new(identifier: bytes, version: int) -> Macaroon:
    macaroon = Macaroon(location="", identifier=identifier, key=ROOT, version=version)
    for caveat in CAVEATS:
        macaroon.add_first_party_caveat(caveat)
    return macaroon


def holds(macaroon: Macaroon, root: bytes) -> bool:
    verifier = Verifier()
    verifier.satisfy_general(lambda condition: True)
    try:
        return verifier.verify(macaroon, root)
    except MacaroonException:
        return False


def sample(form: str, root: bytes, macaroon: Macaroon, token: bytes) -> dict:
    return {
        "form": form,
        "root": root.hex(),
        "token": token.hex(),
        "identifier": macaroon.identifier_bytes.hex(),
        "caveats": caveats(macaroon),
    }


def caveats(macaroon: Macaroon) -> list[str]:
    return [caveat.caveat_id_bytes.hex() for caveat in macaroon.caveats]


def binary(macaroon: Macaroon) -> bytes:
    return BinarySerializer().serialize_raw(macaroon)


match sys.argv[1:]:
    case ["mint"]:
        print(json.dumps(mint()))
    case ["check"]:
        print(json.dumps(check(json.load(sys.stdin))))
    case _:
        sys.exit(__doc__)
