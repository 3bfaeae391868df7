"""`python -m tools.services.oss --address 127.0.0.1:9000 --directory store --region cn-hangzhou`.

The keys come from OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET.
"""

from tools.services.oss.server import main

if __name__ == "__main__":
    main()
