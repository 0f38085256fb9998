"""Starts Sygnal as it is, but for where it finds Apple and Google: it has no settings for that, and its aioapns has two habits that only Apple puts up with.

SYGNAL_CONF is its configuration, SSL_CERT_FILE the authority that it believes. PLAYHOUSE_TEST_APNS and PLAYHOUSE_TEST_APNS_SANDBOX are `host:port`,
PLAYHOUSE_TEST_FCM is the beginning of a URL. Google's tokens come from where the service account says.
"""

import os

from aioapns import connection
from sygnal import gcmpushkin, sygnal


def lead(protocol, variable):
    host, port = os.environ[variable].rsplit(":", 1)
    protocol.APNS_SERVER, protocol.APNS_PORT = host, int(port)


def ask_for_http2(pool):
    """Apple speaks HTTP/2 to whoever names no protocol (ALPN). Other servers speak HTTP/1.1 then, do not understand what comes, and hang up."""
    begin = pool.__init__

    def begin_and_ask(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        self.ssl_context.set_alpn_protocols(["h2"])

    pool.__init__ = begin_and_ask


def take_empty_frames(protocol):
    """Apple ends an answer with its last bytes. Others end it with an empty frame, as HTTP/2 allows: aioapns wants JSON there, and loses the connection with all that is under way."""
    take = protocol.on_data_received

    def take_what_there_is(self, data, stream_id):
        if data:
            take(self, data, stream_id)

    protocol.on_data_received = take_what_there_is


lead(connection.APNsProductionClientProtocol, "PLAYHOUSE_TEST_APNS")
lead(connection.APNsDevelopmentClientProtocol, "PLAYHOUSE_TEST_APNS_SANDBOX")
ask_for_http2(connection.APNsKeyConnectionPool)
ask_for_http2(connection.APNsCertConnectionPool)
take_empty_frames(connection.APNsBaseClientProtocol)
gcmpushkin.GCM_URL_V1 = os.environ["PLAYHOUSE_TEST_FCM"] + "/v1/projects/{ProjectID}/messages:send"
sygnal.main()
