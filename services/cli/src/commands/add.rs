//! `n2s backends add`.

use std::path::absolute;

use n2s_assembly::{Home, add_local_backend, add_s3_backend};
use n2s_config::S3Config;
use serde_json::{Value, json};

use crate::args::{Add, AddKind, BucketArgs};
use crate::exit::Usage;
use crate::output::Output;

pub fn run(home: &Home, add: Add, output: &Output) -> anyhow::Result<()> {
    let name = &add.name;
    let (place, mut json) = match add.kind {
        AddKind::Local => local(home, &add)?,
        AddKind::S3 => s3(home, add.path.is_some(), name, add.bucket)?,
    };
    json["backend"] = json!(name);
    let text = format!(
        "added {name} at {place}; datasets pushed for the first time from now on go there, too; `n2s backends sync {name}` brings those that are there already"
    );
    output.answer(&text, &json);
    Ok(())
}

fn local(home: &Home, add: &Add) -> anyhow::Result<(String, Value)> {
    if add.bucket != BucketArgs::default() {
        let name = &add.name;
        return Err(usage(format!("those are settings of a bucket; say `n2s backends add {name} s3 …`")));
    }
    let missing = || usage("--path is missing: the store's directory".to_owned());
    let path = absolute(add.path.as_ref().ok_or_else(missing)?)?;
    add_local_backend(home, &add.name, &path)?;
    Ok((path.display().to_string(), json!({ "path": path })))
}

fn s3(
    home: &Home,
    path: bool,
    name: &n2s_domain::BackendName,
    given: BucketArgs,
) -> anyhow::Result<(String, Value)> {
    if path {
        return Err(usage("--path is for local stores; a bucket has a --prefix".to_owned()));
    }
    let default = S3Config::default();
    let s3 = S3Config {
        bucket: given.bucket.ok_or_else(|| usage("--bucket is missing: the bucket's name".to_owned()))?,
        region: given.region.unwrap_or(default.region),
        endpoint: given.endpoint,
        path_style: given.path_style,
        prefix: given.prefix.unwrap_or(default.prefix),
        access_key_id: given.access_key_id,
        secret_access_key: None,
        secret_access_key_file: given.secret_access_key_file.map(absolute).transpose()?,
        public_url: given.public_url,
        pool_size: given.pool_size,
        max_retries: given.max_retries.unwrap_or(default.max_retries),
        storage_class: given.storage_class,
    };
    add_s3_backend(home, name, &s3, given.timeout_secs)?;
    let place = [s3.endpoint.as_deref().unwrap_or("AWS"), s3.bucket.as_str(), s3.prefix.trim_matches('/')];
    let place = place.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    Ok((
        place,
        json!({ "bucket": s3.bucket, "endpoint": s3.endpoint, "region": s3.region, "prefix": s3.prefix }),
    ))
}

fn usage(what: String) -> anyhow::Error {
    Usage(what).into()
}
