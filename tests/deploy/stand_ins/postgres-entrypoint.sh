#!/bin/bash
# What postgres:17 does as far as compose.yaml uses it: a new database is made with a server that hears its socket alone.
set -eu
[ "$(id -u)" != 0 ] || { chown -R postgres "$PGDATA"; exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"; }
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") --auth-local=trust --auth-host=scram-sha-256
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
  echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
  pg_ctl -w -o "-c listen_addresses=''" start
  psql --username="$POSTGRES_USER" --dbname=postgres -c "CREATE DATABASE \"$POSTGRES_DB\""
  sleep 6 # a slow disk: longer than the time between two health checks
  pg_ctl -w -m fast stop
fi
exec "$@"
