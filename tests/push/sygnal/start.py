"""Starts Sygnal as it is, but for where it finds Apple and Google: it has no settings for that.

SYGNAL_CONF is its configuration, SSL_CERT_FILE the authority that it believes. PLAYHOUSE_TEST_APNS and PLAYHOUSE_TEST_APNS_SANDBOX are `host:port`,
PLAYHOUSE_TEST_FCM is the beginning of a URL. Google's tokens come from where the service account says.
"""

import os

from aioapns import connection
from sygnal import gcmpushkin, sygnal


def lead(protocol, variable):
    host, port = os.environ[variable].rsplit(":", 1)
    protocol.APNS_SERVER, protocol.APNS_PORT = host, int(port)


lead(connection.APNsProductionClientProtocol, "PLAYHOUSE_TEST_APNS")
lead(connection.APNsDevelopmentClientProtocol, "PLAYHOUSE_TEST_APNS_SANDBOX")
gcmpushkin.GCM_URL_V1 = os.environ["PLAYHOUSE_TEST_FCM"] + "/v1/projects/{ProjectID}/messages:send"
sygnal.main()
