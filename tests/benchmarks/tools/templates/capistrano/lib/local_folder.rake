namespace :local_folder do
  desc "Pack the folder, upload it, and unpack it into the release"
  task :create_release do
    tarball = File.expand_path("release.tar.gz")
    remote = deploy_path.join("release.tar.gz").to_s
    run_locally { execute :tar, "-czf", tarball, "-C", fetch(:local_folder), "." }
    on release_roles(:all) do
      upload! tarball, remote
      execute :mkdir, "-p", release_path
      execute :tar, "-xpzf", remote, "-C", release_path
      execute :rm, remote
    end
    File.delete(tarball)
  end

  desc "Say what is deployed"
  task :set_current_revision do
    set :current_revision, fetch(:release_timestamp)
  end
end
