# In place of python:3.13-slim: Debian 13 with its own Python 3.13, where that image has one built for it.
FROM localhost/debian:13
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
RUN ln -s /usr/bin/python3 /usr/local/bin/python
# The packages the build asks for, brought along: what index this host uses is its own affair.
COPY wheels /wheels
RUN printf '[global]\nno-index = true\nfind-links = /wheels\n' > /etc/pip.conf
CMD ["python3"]
