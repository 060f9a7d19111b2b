# In place of eclipse-mosquitto:2.0: Debian's package with that image's user, folders and command.
FROM localhost/debian:13
RUN groupadd --system --gid 1883 mosquitto && useradd --system --uid 1883 --gid 1883 --no-create-home mosquitto
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends mosquitto && rm -rf /var/lib/apt/lists/*
RUN install -d -o mosquitto -g mosquitto /mosquitto /mosquitto/config /mosquitto/data /mosquitto/log
VOLUME ["/mosquitto/data", "/mosquitto/log"]
CMD ["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]
