"""A server of S3's protocol with one bucket, in an environment of its own: prints its address, ends with its input."""

import sys

import boto3
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
address = f"http://{host}:{port}"
client = boto3.client(
    "s3", endpoint_url=address, region_name="eu-west-1", aws_access_key_id="k", aws_secret_access_key="s"
)
client.create_bucket(Bucket="tiles", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
print(address, flush=True)
sys.stdin.read()
server.stop()
