"""Resources of every kind that somebody else made before the first test. No test may change one of them."""

from __future__ import annotations

from tests.laws.mesh import Mesh


def populate(mesh: Mesh) -> None:
    """Make one of each, with names that the tests' own could be mistaken for."""
    if mesh.policy("foreign") is None:
        mesh.http("PUT", "/v1/acl/policy", {"Name": "foreign", "Rules": 'key_prefix "law" { policy = "read" }'})
        mesh.http("PUT", "/v1/acl/token", {"Description": "foreign", "Policies": [{"Name": "foreign"}]})
        mesh.http("PUT", "/v1/acl/role", {"Name": "foreign", "ServiceIdentities": [{"ServiceName": "law"}]})
        mesh.http("POST", "/v1/query", {"Name": "law", "Service": {"Service": "foreign"}, "Token": "foreign"})
        mesh.http("PUT", "/v1/config", {"Kind": "service-defaults", "Name": "foreign", "Protocol": "http"})
        mesh.http("PUT", "/v1/config", {"Kind": "service-intentions", "Name": "foreign", "Sources": [{"Name": "law", "Action": "allow"}]})
        mesh.http("PUT", "/v1/config", {"Kind": "terminating-gateway", "Name": "foreign", "Services": [{"Name": "law"}]})
        mesh.http("PUT", "/v1/config", {"Kind": "service-resolver", "Name": "foreign", "ConnectTimeout": "5s"})
        mesh.http("PUT", "/v1/config", {"Kind": "api-gateway", "Name": "foreign", "Listeners": [{"Name": "a", "Port": 1, "Protocol": "tcp"}]})
        mesh.http("PUT", "/v1/config", {"Kind": "tcp-route", "Name": "foreign", "Parents": [{"Name": "foreign"}], "Services": [{"Name": "law"}]})
        node = {"Node": "foreign-node", "Address": "10.1.1.1", "NodeMeta": {"external-node": "true"}}
        mesh.http("PUT", "/v1/catalog/register", {**node, "Service": {"Service": "foreign", "Port": 1}, "Check": {"Name": "c", "Status": "passing"}})
        mesh.http("PUT", "/v1/kv/law", b"foreign")
        mesh.http("PUT", "/v1/kv/reconciler/owned-not-quite", b"foreign")
        mesh.http("PUT", "/v1/kv/foreign/password?flags=42", b"\xff\x00 not text")
    mesh.sql("CREATE ROLE law LOGIN CONNECTION LIMIT 3 PASSWORD 'foreign'; ALTER ROLE law SET work_mem = '3MB'")
    mesh.sql("CREATE ROLE foreigner; GRANT law TO foreigner WITH ADMIN OPTION")
    mesh.sql("CREATE DATABASE law OWNER law")
    mesh.sql(
        "CREATE SCHEMA foreign_schema AUTHORIZATION law; CREATE TABLE foreign_schema.t ();"
        "GRANT SELECT ON foreign_schema.t TO foreigner WITH GRANT OPTION;"
        "GRANT CREATE ON SCHEMA public TO foreigner; CREATE EXTENSION sample; GRANT CONNECT ON DATABASE law TO foreigner;"
        "ALTER DEFAULT PRIVILEGES FOR ROLE law GRANT SELECT ON TABLES TO foreigner",
        "law",
    )
