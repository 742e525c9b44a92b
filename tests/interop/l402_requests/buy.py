"""Buys a page twice, paying once: the way the package's own manual starts.

usage: buy.py URL WHAT_THE_PAGE_SAYS

The wallet is found by the package itself, from its LND_* environment variables.
"""

import sys

from l402_requests import L402Client


def main(url: str, goods: str) -> None:
    client = L402Client()
    for request in ("first", "second"):
        response = client.get(url)
        if response.status_code != 200 or response.text != goods:
            sys.exit(f"{request} request: {response.status_code} {response.headers} {response.text}")

    payments = client.spending_log.records
    if len(payments) != 1 or not payments[0].success:
        sys.exit(f"one payment expected, the log has {payments}")


main(*sys.argv[1:])
