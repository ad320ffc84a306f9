"""Write the OpenAPI document of the data plane to docs/reference/openapi.json; a test holds both equal."""

from pathlib import Path

from strongroom.web.openapi import document

if __name__ == "__main__":
    Path("docs/reference/openapi.json").write_bytes(document())
