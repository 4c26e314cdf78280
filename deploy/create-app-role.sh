#!/usr/bin/env bash
# Postgres runs this once, on an empty database: the role of web and worker, which `rollout migrate --app-role` gives its rights.
set -euo pipefail
psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set ON_ERROR_STOP=1 --set password="$(cat /run/secrets/app_password)" <<'SQL'
CREATE ROLE rampart_app LOGIN PASSWORD :'password';
SQL
