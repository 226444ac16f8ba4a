//! What PostgreSQL did, for whoever looks for what bounds a figure.

use n2s_servers::Postgres;

/// Counts a database's statements from now on, if `N2S_LOAD_STATEMENTS` asks for it: counting costs a little.
pub fn follow(database: &str) {
    Postgres::psql(database, "CREATE EXTENSION pg_stat_statements");
    let track = if std::env::var_os("N2S_LOAD_STATEMENTS").is_some() { "all" } else { "none" };
    let name = database.rsplit('/').next().unwrap_or_default();
    Postgres::psql(database, &format!("ALTER DATABASE {name} SET pg_stat_statements.track = '{track}'"));
}

/// The most expensive.
pub fn statements(database: &str) -> Vec<String> {
    let sql = "SELECT round(total_exec_time::numeric) || ' ms, ' || calls || ' calls, ' || rows || ' rows, ' || wal_bytes || ' B: '
        || left(regexp_replace(query, '\\s+', ' ', 'g'), 110)
        FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid AND d.datname = current_database()
        WHERE calls > 5 ORDER BY total_exec_time DESC LIMIT 25";
    Postgres::psql(database, sql).lines().map(str::to_owned).collect()
}
