set :application, "bench"
set :deploy_to, ENV.fetch("DEPLOY_TO")
set :keep_releases, ENV.fetch("KEEP", "3").to_i
set :local_folder, ENV["TREE"]
